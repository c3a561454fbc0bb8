import { limits } from "../limits.ts";
import { decodeRecord, encodeRecord } from "../record.ts";

/** What kinds of message a topic takes; MIXED takes all. RocketMQ's names. */
export const topicTypes = ["MIXED", "NORMAL", "FIFO", "DELAY", "TRANSACTION"] as const;
export type TopicType = (typeof topicTypes)[number];

export interface TopicSettings {
  readonly queues: number;
  readonly type: TopicType;
  readonly retentionMs: number;
  readonly writable: boolean;
  /** Whether other brokers may have queues of the same topic: see name servers. */
  readonly shared: boolean;
}

export interface Topic extends TopicSettings {
  readonly name: string;
  /** Minted at creation, never given again: names are not identities (rule 15 of the log). */
  readonly id: number;
  readonly createdAt: number;
}

export const defaultTopicSettings: TopicSettings = {
  queues: 8,
  type: "MIXED",
  retentionMs: limits.retentionMsDefault,
  writable: true,
  shared: false,
};

export function encodeTopic(topic: Topic): Uint8Array {
  return encodeRecord(topic);
}

export function decodeTopic(value: Uint8Array): Topic {
  // Records of a time before name servers say nothing of it.
  return { shared: false, ...decodeRecord<Omit<Topic, "shared">>("topic", value) } as Topic;
}
