export interface Patch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** Bundles an entry to one file; `patches` change the source for this bundle only. Answers `outfile`. */
export function bundle(options: {
  readonly entry: string;
  readonly outfile: string;
  readonly patches?: readonly Patch[];
}): Promise<string>;
