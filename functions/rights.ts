import type { Ability, Right } from "../src/api/operation.ts";

/**
 * Which function serves whom. What needs no right is served by the one that may do the least: it reads and nothing else.
 */
const functionOfRight = {
  none: "pull",
  route: "pull",
  send: "send",
  transact: "transact",
  pull: "pull",
  commit: "commit",
  // Who forwards acknowledges and sends, so neither of those rights is enough; the function of the first can do both.
  forward: "commit",
  admin: "admin",
} as const satisfies Record<Right, string>;

/** A function that serves the operations of some rights; `all` serves those of every right, behind one Function URL. */
export type ApiFunction = (typeof functionOfRight)[Right] | "all";

/** The function for a right where each has its own. */
export function functionFor(right: Right): ApiFunction {
  return functionOfRight[right];
}

export function serves(name: ApiFunction, right: Right): boolean {
  return name === "all" || functionOfRight[right] === name;
}

/**
 * What is done without being asked for: seal, archive, trim, remove what belonged to deleted topics, deliver what is due,
 * ask producers what became of their halves.
 */
export const sweepUses: readonly Ability[] = [
  "readStore",
  "writeStore",
  "readBlobs",
  "writeBlobs",
  "setAlarms",
  "callWebhooks",
];
