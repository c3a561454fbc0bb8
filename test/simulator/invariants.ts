import type { Invariant } from "./auditor.ts";
import { aForwardIsAllOrNothing } from "./invariants/a-forward-is-all-or-nothing.ts";
import { aPlaceHoldsOneMessage } from "./invariants/a-place-holds-one-message.ts";
import { aSearchFindsAll } from "./invariants/a-search-finds-all.ts";
import { acknowledgedIsVisible } from "./invariants/acknowledged-is-visible.ts";
import { acknowledgedNeverComesAgain } from "./invariants/acknowledged-never-comes-again.ts";
import { acknowledgedStays } from "./invariants/acknowledged-stays.ts";
import { anEmptyAnswerMeansTheEnd } from "./invariants/an-empty-answer-means-the-end.ts";
import { anEnlistedRowHasItsMessage } from "./invariants/an-enlisted-row-has-its-message.ts";
import { attemptsNameOneTimer } from "./invariants/attempts-name-one-timer.ts";
import { committedNeverGoesBack } from "./invariants/committed-never-goes-back.ts";
import { deadExactlyAtTheMaximum } from "./invariants/dead-exactly-at-the-maximum.ts";
import { delayedIsDelivered } from "./invariants/delayed-is-delivered.ts";
import { deletedStaysDeleted } from "./invariants/deleted-stays-deleted.ts";
import { endsNeverGoBack } from "./invariants/ends-never-go-back.ts";
import { everythingCanBeRead } from "./invariants/everything-can-be-read.ts";
import { fencedMembersDoNotCommit } from "./invariants/fenced-members-do-not-commit.ts";
import { groupKeepsOrder } from "./invariants/group-keeps-order.ts";
import { halfIsInvisible } from "./invariants/half-is-invisible.ts";
import { landsOnce } from "./invariants/lands-once.ts";
import { listTellsWhatWaits } from "./invariants/list-tells-what-waits.ts";
import { messagesComeBackWhole } from "./invariants/messages-come-back-whole.ts";
import { nobodyIsToldOfDamage } from "./invariants/nobody-is-told-of-damage.ts";
import { noneIsEarly } from "./invariants/none-is-early.ts";
import { nothingIsForgotten } from "./invariants/nothing-is-forgotten.ts";
import { nothingIsLeftBehind } from "./invariants/nothing-is-left-behind.ts";
import { nothingIsTrimmedEarly } from "./invariants/nothing-is-trimmed-early.ts";
import { offsetAtTimeIsRight } from "./invariants/offset-at-time-is-right.ts";
import { offsetsAreDense } from "./invariants/offsets-are-dense.ts";
import { oneHolderAtATime } from "./invariants/one-holder-at-a-time.ts";
import { oneOutcome } from "./invariants/one-outcome.ts";
import { oneOwnerAGeneration } from "./invariants/one-owner-a-generation.ts";
import { openHalvesEnd } from "./invariants/open-halves-end.ts";
import { orderWithinAMessageGroup } from "./invariants/order-within-a-message-group.ts";
import { outcomeIsVisible } from "./invariants/outcome-is-visible.ts";
import { readerNeverSkips } from "./invariants/reader-never-skips.ts";
import { readerStaysInRange } from "./invariants/reader-stays-in-range.ts";
import { recallTellsTheTruth } from "./invariants/recall-tells-the-truth.ts";
import { refusedNeverAppears } from "./invariants/refused-never-appears.ts";
import { theDatabaseDecides } from "./invariants/the-database-decides.ts";
import { timesNeverFall } from "./invariants/times-never-fall.ts";

/** Everything that the auditor demands. */
export const invariants: readonly Invariant[] = [
  acknowledgedStays,
  refusedNeverAppears,
  landsOnce,
  aPlaceHoldsOneMessage,
  offsetsAreDense,
  groupKeepsOrder,
  committedNeverGoesBack,
  readerNeverSkips,
  anEmptyAnswerMeansTheEnd,
  acknowledgedIsVisible,
  messagesComeBackWhole,
  offsetAtTimeIsRight,
  timesNeverFall,
  aSearchFindsAll,
  readerStaysInRange,
  endsNeverGoBack,
  nothingIsTrimmedEarly,
  nobodyIsToldOfDamage,
  deletedStaysDeleted,
  noneIsEarly,
  delayedIsDelivered,
  attemptsNameOneTimer,
  recallTellsTheTruth,
  listTellsWhatWaits,
  everythingCanBeRead,
  halfIsInvisible,
  oneOutcome,
  outcomeIsVisible,
  openHalvesEnd,
  aForwardIsAllOrNothing,
  anEnlistedRowHasItsMessage,
  theDatabaseDecides,
  nothingIsLeftBehind,
  acknowledgedNeverComesAgain,
  deadExactlyAtTheMaximum,
  fencedMembersDoNotCommit,
  nothingIsForgotten,
  oneHolderAtATime,
  oneOwnerAGeneration,
  orderWithinAMessageGroup,
];
