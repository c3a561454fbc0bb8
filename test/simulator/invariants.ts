import type { Invariant } from "./auditor.ts";
import { acknowledgedIsVisible } from "./invariants/acknowledged-is-visible.ts";
import { acknowledgedStays } from "./invariants/acknowledged-stays.ts";
import { committedNeverGoesBack } from "./invariants/committed-never-goes-back.ts";
import { deletedStaysDeleted } from "./invariants/deleted-stays-deleted.ts";
import { everythingCanBeRead } from "./invariants/everything-can-be-read.ts";
import { groupKeepsOrder } from "./invariants/group-keeps-order.ts";
import { landsOnce } from "./invariants/lands-once.ts";
import { offsetsAreDense } from "./invariants/offsets-are-dense.ts";
import { readerNeverSkips } from "./invariants/reader-never-skips.ts";
import { readerStaysInRange } from "./invariants/reader-stays-in-range.ts";
import { refusedNeverAppears } from "./invariants/refused-never-appears.ts";

/** Everything that the auditor demands. */
export const invariants: readonly Invariant[] = [
  acknowledgedStays,
  refusedNeverAppears,
  landsOnce,
  offsetsAreDense,
  groupKeepsOrder,
  committedNeverGoesBack,
  readerNeverSkips,
  acknowledgedIsVisible,
  readerStaysInRange,
  deletedStaysDeleted,
  everythingCanBeRead,
];
