import type { Mutant } from "./mutants/mutant.ts";
import { mutantsOfAppending } from "./mutants/of-appending.ts";
import { mutantsOfConsuming } from "./mutants/of-consuming.ts";
import { mutantsOfForward } from "./mutants/of-forward.ts";
import { mutantsOfReadingAndRecords } from "./mutants/of-reading-and-records.ts";
import { mutantsOfSegments } from "./mutants/of-segments.ts";
import { mutantsOfTimers } from "./mutants/of-timers.ts";
import { mutantsOfTransactions } from "./mutants/of-transactions.ts";

/** Each must be caught by an invariant of the auditor within 300 seeds that are clean without it. */
export const mutants: readonly Mutant[] = [
  ...mutantsOfAppending,
  ...mutantsOfReadingAndRecords,
  ...mutantsOfSegments,
  ...mutantsOfConsuming,
  ...mutantsOfForward,
  ...mutantsOfTransactions,
  ...mutantsOfTimers,
];
