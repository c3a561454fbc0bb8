import { pathToFileURL } from "node:url";
import { buildServer, type Patch } from "./server-process.ts";
import type { CellOptions, SimulatedCell } from "./simulated-cell.ts";

export type { SimulatedCell } from "./simulated-cell.ts";

interface Bundled {
  readonly SimulatedCell: new (options: CellOptions) => SimulatedCell;
}

/** What makes cells of the sources as they are, or with bugs switched on. */
export async function simulatedCells(
  name: string,
  patches: readonly Patch[] = [],
): Promise<(options: CellOptions) => SimulatedCell> {
  const bundle = await buildServer(name, patches, "scripts/audit/simulated-cell.ts");
  const { SimulatedCell: Cell } = (await import(pathToFileURL(bundle).href)) as Bundled;
  return (options) => new Cell(options);
}
