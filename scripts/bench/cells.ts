/** One thing to measure: a verb, how messages are written, how many a request, over how many connections. */
export interface Cell {
  readonly verb: "send" | "pull";
  readonly format: "binary" | "json";
  readonly messages: number;
  readonly connections: number;
}

/** What must hold: our messages a second against the baseline's. */
export const ratioMin = 0.6;
export const gateCells = ["send:binary:32:16", "pull:binary:32:16"] as const;
/** Not a cell of the grid: pulls from both ends of a long queue. */
export const seekCell = "seek";

export function cellName({ verb, format, messages, connections }: Cell): string {
  return `${verb}:${format}:${messages}:${connections}`;
}

export function allCells(): string[] {
  const names: string[] = [];
  for (const verb of ["send", "pull"] as const)
    for (const format of ["binary", "json"] as const)
      for (const messages of [1, 32, 128])
        for (const connections of [1, 16, 64])
          names.push(cellName({ verb, format, messages, connections }));
  return [...names, seekCell];
}

/** Throws where the text names no cell. */
export function readCell(text: string): Cell {
  const match = /^(send|pull):(binary|json):(\d{1,3}):(\d{1,3})$/.exec(text);
  const [, verb, format, messages, connections] = match ?? [];
  if (Number(messages) < 1 || Number(connections) < 1 || match === null)
    throw new Error(`--cells ${text}: a cell is like ${gateCells[0]}, or ${seekCell}`);
  return {
    verb: verb as Cell["verb"],
    format: format as Cell["format"],
    messages: Number(messages),
    connections: Number(connections),
  };
}
