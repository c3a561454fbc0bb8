import type { TimerName } from "../../src/broker/timers/timer.ts";
import type { SentMessage } from "./auditor.ts";

/** A message that is to wait. Its attempts are not acknowledged with a place but told that it waits. */
export interface DelayedMessage extends SentMessage {
  /** When it is due; where only a broker knows, the earliest that this can be. */
  readonly dueAt: number;
  /** The names under which its attempts were told that it waits. */
  readonly names: TimerName[];
  readonly recalls: RecallSeen[];
  /** What the auditor is told who recalls it when everything is due. */
  atEnd?: RecallAnswer;
}

/** What somebody was told who recalled a message. */
export type RecallAnswer =
  | { readonly outcome: "recalled" | "not found" | "refused" | "unknown" }
  /** Without a place: its topic was deleted. */
  | { readonly outcome: "too late"; readonly queue: number; readonly offset: number | undefined };

export interface RecallSeen {
  readonly startedAt: number;
  readonly endedAt?: number;
  readonly answer: RecallAnswer;
}

/** A whole list of what waits, by the uids of the messages. */
export interface ListSeen {
  readonly by: string;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Only messages of this topic; absent: of all. */
  readonly topic: string | undefined;
  readonly waiting: ReadonlySet<string>;
}

/** Whether somebody may have recalled it, told or not. */
export function mayBeRecalled({ recalls }: DelayedMessage): boolean {
  return recalls.some(({ answer: { outcome } }) => outcome === "recalled" || outcome === "unknown");
}
