import { isTassoError, type TassoError } from "../client/index.ts";
import { SettingsError } from "../local/settings-error.ts";

/** What the command line ends with; scripts may count on it. */
export const exitCodes = {
  done: 0,
  /** Something else went wrong, or `doctor` found something. */
  failed: 1,
  wrongUsage: 2,
  /** A broker answered and refused. */
  refused: 3,
  /** Nobody answered, or nobody could: surely nothing was done. */
  notReachable: 4,
  /** What was asked for may have been done all the same. */
  outcomeUnknown: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The command line was given wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const nobodyAnswered: readonly string[] = [
  "unreachable",
  "no_answer",
  "bad_gateway",
  "rate_limited",
  "timeout",
  "unavailable",
  "not_ready",
];

/** `changes`: whether the command would have changed something; one that only reads has no unknown outcome. */
export function exitCodeOf(error: unknown, { changes }: { readonly changes: boolean }): ExitCode {
  if (error instanceof UsageError || error instanceof SettingsError) return exitCodes.wrongUsage;
  if (!isTassoError(error)) return exitCodes.failed;
  if (error.code === "misuse") return exitCodes.wrongUsage;
  if (changes && error.outcomeUnknown) return exitCodes.outcomeUnknown;
  if (nobodyAnswered.includes(error.code)) return exitCodes.notReachable;
  return isFault(error) ? exitCodes.failed : exitCodes.refused;
}

function isFault({ code }: TassoError): boolean {
  return ["internal", "corrupt", "aborted", "closed"].includes(code);
}
