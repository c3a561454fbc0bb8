import { it } from "vitest";

/** Cases that an adapter is known not to keep. Each is run and must fail, so nobody forgets it. */
export interface Skip {
  readonly reason: string;
  readonly cases: readonly string[];
}

/** `it`, but a case that is listed as a deviation is expected to fail. */
export function contractCases(skip: readonly Skip[]) {
  const deviations = new Map(skip.flatMap(({ reason, cases }) => cases.map((c) => [c, reason])));
  return (name: string, run: () => Promise<void>): void => {
    const reason = deviations.get(name);
    if (reason === undefined) it(name, run);
    else it.fails(`${name} (known to fail: ${reason})`, run);
  };
}
