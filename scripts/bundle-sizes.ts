import type { BuildResult, Metafile } from "esbuild";

export interface FunctionSize {
  /** Bytes of what an entry imports, and what that imports, and so on. */
  readonly atStart: number;
  /** With what it may import later. */
  readonly ever: number;
}

/** By the name of the entry. */
export function sizesOf({ metafile }: Pick<BuildResult, "metafile">): Map<string, FunctionSize> {
  const { outputs = {} } = metafile ?? {};
  const entries = Object.entries(outputs).flatMap(([file, { entryPoint }]) => {
    const [, name] = /^functions\/(.*)\.ts$/.exec(entryPoint ?? "") ?? [];
    return name === undefined ? [] : [[name, file] as const];
  });
  return new Map(
    entries.map(([name, file]) => [
      name,
      { atStart: bytesOf(outputs, file, false), ever: bytesOf(outputs, file, true) },
    ]),
  );
}

function bytesOf(outputs: Metafile["outputs"], entry: string, late: boolean): number {
  const loaded = new Set<string>();
  const load = (file: string) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    for (const { path, kind, external } of outputs[file]?.imports ?? []) {
      if (!external && (late || kind !== "dynamic-import")) load(path);
    }
  };
  load(entry);
  return [...loaded].reduce((sum, file) => sum + (outputs[file]?.bytes ?? 0), 0);
}
