/** A known bug: a change of the source that exists only in a bundle that a test makes. Each `find` stands once in its file. */
export interface Mutant {
  readonly name: string;
  readonly patches: readonly {
    readonly file: string;
    readonly find: string;
    readonly replace: string;
  }[];
}

/** The files that most mutants change. */
export const source = {
  largeBatches: "src/broker/log/large-batches.ts",
  appender: "src/broker/log/queue-appender.ts",
  chain: "src/broker/log/tail-chain.ts",
  reader: "src/broker/log/log-reader.ts",
  segment: "src/broker/log/segment.ts",
  directory: "src/broker/log/segment-directory.ts",
  changes: "src/broker/log/segment-changes.ts",
  segmentWork: "src/broker/log/segment-work.ts",
  topics: "src/broker/topics/topics.ts",
  topicDeletion: "src/broker/topics/topic-deletion.ts",
} as const;
