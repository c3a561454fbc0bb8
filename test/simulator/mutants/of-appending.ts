import { type Mutant, source } from "./mutant.ts";

const { appender, chain, largeBatches } = source;
const commitLine =
  "      const result = await commitUntilDecided(io, writes, deadlineOf(chain, segment));";

/** Bugs of those who append: where a batch lands, what its sender is told, and that it lands once. */
export const mutantsOfAppending: readonly Mutant[] = [
  {
    name: "offset allocated before the write",
    patches: [
      {
        file: appender,
        find: commitLine,
        replace: `      const allocated = chain.offset;
      for (const { batch } of group.members) chain.offset += batch.count;
      const result = await io.store.commit(puts, deadlineOf(chain, segment));
      if (result.outcome === "unknown") throw outcomeUnknown();
      chain.offset = allocated;`,
      },
      // Whoever fails does not give his offsets back.
      {
        file: appender,
        find: "      } catch (error) {\n        this.#chain = undefined;",
        replace: "      } catch (error) {",
      },
    ],
  },
  {
    name: "acknowledge before the write",
    patches: [
      {
        file: appender,
        find: commitLine,
        replace: `      let base = chain.offset;
      for (const pending of group.members) {
        pending.succeed({ base, storedAt: issuedAt, checksum: pending.batch.checksum, learnedAt: issuedAt });
        base += pending.batch.count;
      }
${commitLine}`,
      },
    ],
  },
  {
    name: "own first attempt taken for a conflict",
    patches: [
      {
        file: "src/adapters/memory/store-rules.ts",
        find: '  if (own) return { outcome: "applied" };',
        replace: "  void own;",
      },
    ],
  },
  {
    name: "a conflict answered with the wrong tail",
    patches: [
      {
        file: appender,
        find: "    this.#noteForeignRows(now, 1);\n    await io.clock.sleep(backoffMs",
        replace:
          "    chain.offset = readBatchRow(current).base + 1;\n    await io.clock.sleep(backoffMs",
      },
    ],
  },
  {
    name: "group commit answers one batch with another's offsets",
    patches: [
      {
        file: appender,
        find: "const place = placed[index];",
        replace: "const place = placed[group.length - 1 - index];",
      },
    ],
  },
  {
    name: "an unknown outcome reported as refused",
    patches: [
      {
        file: "src/broker/decided-commit.ts",
        find: "      inDoubt = true;",
        replace: '      throw new Unavailable("the store did not answer");',
      },
      {
        file: "src/broker/decided-commit.ts",
        find: "if (!(error instanceof Unavailable) || (!inDoubt && tries >= unavailableTriesMax))\n        throw error;",
        replace: "throw error;",
      },
    ],
  },
  {
    name: "an attempt that does not look back",
    patches: [
      {
        file: chain,
        find: "if (batch.firstAttemptAt === 0) return true;",
        replace: "if (batch.firstAttemptAt >= 0) return true;",
      },
    ],
  },
  {
    name: "a first attempt that comes at once and does not look",
    patches: [
      {
        file: appender,
        find: "      if (chain.covers(pending.batch)) pending.coveredIn = chain;",
        replace:
          "      if (chain.covers(pending.batch) || io.clock.now() - pending.batch.firstAttemptAt < 2_000) pending.coveredIn = chain;",
      },
    ],
  },
  {
    name: "a first attempt that comes after its retry and does not look",
    patches: [
      {
        file: appender,
        find: "      if (chain.covers(pending.batch)) pending.coveredIn = chain;",
        replace:
          "      if (chain.covers(pending.batch) || io.clock.now() - pending.batch.firstAttemptAt > 30_000) pending.coveredIn = chain;",
      },
    ],
  },
  {
    name: "two attempts in one group commit",
    patches: [
      { file: appender, find: "else if (twin !== undefined) twin.join(pending);", replace: "" },
    ],
  },
  {
    name: "a jump that looks at the last row only",
    patches: [
      {
        file: appender,
        find: "        if (chain.link(row, io.clock.now()) === undefined) throw brokenChain(this.#queue);",
        replace: "        jump(chain, row);",
      },
      {
        file: appender,
        find: "    if (chain.link(readBatchRow(current), now) === undefined) throw brokenChain(this.#queue);",
        replace: "    jump(chain, readBatchRow(current));",
      },
      {
        file: appender,
        find: "function brokenChain(",
        replace: `function jump(chain: TailChain, { base, count, index, segmentBytes }: BatchRow): void {
  if (count === 0) chain.sealed = true;
  else Object.assign(chain, { offset: base + count, rows: index + 1, bytes: segmentBytes });
}

function brokenChain(`,
      },
    ],
  },
  {
    name: "a look back that trusts the clocks",
    patches: [
      {
        file: chain,
        find: "return batch.firstAttemptAt - 4 * limits.clockErrorMsMax;",
        replace: "return batch.firstAttemptAt;",
      },
    ],
  },
  {
    name: "dedupe that stops at a seal",
    patches: [
      {
        file: appender,
        find: "      if (base === 0 || after < backTo) return;",
        replace: "      return;",
      },
    ],
  },
  {
    name: "a chain kept across a seal that it has not seen",
    patches: [
      {
        file: appender,
        find: "const follows = this.#chain?.sealed === true && this.#chain.offset === base;",
        replace: "const follows = this.#chain !== undefined;",
      },
    ],
  },
  {
    name: "an append without a deadline",
    patches: [
      {
        file: appender,
        find: "return Math.min(issuedAt, readAt) + limits.appendDeadlineMs;",
        replace: "return Number.MAX_SAFE_INTEGER;",
      },
    ],
  },
  {
    name: "an append behind the time of its seal",
    patches: [
      {
        file: appender,
        find: "rows >= segmentRowsMax || io.clock.now() >= segment.sealAt;",
        replace: "rows >= segmentRowsMax;",
      },
      {
        file: appender,
        find: "if (chain.sealed || issuedAt >= segment.sealAt) {",
        replace: "if (chain.sealed) {",
      },
    ],
  },
  {
    name: "rows that expire one by one",
    patches: [
      {
        file: appender,
        find: "    const { partition, rowsUntil: expiresAt } = segment;",
        replace: `    const { partition, rowsUntil, sealAt } = segment;
    const expiresAt = storedAt + rowsUntil - sealAt;`,
      },
    ],
  },
  {
    name: "a look back past a segment that is gone, however long ago",
    patches: [
      {
        file: appender,
        find: "if (backTo < appendedBefore) throw brokenChain(this.#queue);",
        replace: "void appendedBefore;",
      },
    ],
  },
  {
    name: "a look back past rows that are gone",
    patches: [
      {
        file: appender,
        find: "      if (end !== base) throw brokenChain(this.#queue);",
        replace: "",
      },
      {
        file: appender,
        find: "      if (row.base + row.count !== expectedEnd) throw brokenChain(this.#queue);",
        replace: "",
      },
    ],
  },
  {
    name: "seek with skewed append times",
    patches: [
      {
        file: appender,
        find: "const storedAt = Math.max(issuedAt, chain.storedAt);",
        replace: "const storedAt = issuedAt;",
      },
    ],
  },
  {
    name: "seek with append times that begin anew in each segment",
    patches: [
      {
        file: appender,
        find: "const storedAt = Math.max(issuedAt, chain.storedAt);",
        replace: "const storedAt = Math.max(issuedAt, chain.rows === 0 ? 0 : chain.storedAt);",
      },
    ],
  },
  {
    // It knows what rows point to, and takes what no row points to yet.
    name: "an orphan sweep that takes a young blob",
    patches: [
      { file: largeBatches, find: "    if (this.#daysToDelete.has(day)) return;\n", replace: "" },
      {
        file: largeBatches,
        find: "await commitUntilDecided(io, [work],",
        replace: `const orphans = putWork(io, { dueAt: io.clock.now(), work: { kind: "drop-large", day, round: 2 } });
    await commitUntilDecided(io, [work, orphans],`,
      },
      {
        file: largeBatches,
        find: "  for (const { key } of blobs) await io.blobs.delete(key);",
        replace: `  if (io.clock.now() < endOfDay(work.day)) {
    for (const { key } of blobs) if (!pointedTo.has(key)) await io.blobs.delete(key);
    return { writes: [] };
  }
  for (const { key } of blobs) await io.blobs.delete(key);`,
      },
      {
        file: largeBatches,
        find: "const deletedAtOnce = 100;",
        replace: `const deletedAtOnce = 100;
const pointedTo = new Set<string>();
export function pointTo({ day, object }: LargeBatchPlace) {
  pointedTo.add(largeObjectKey(day, object));
}`,
      },
      {
        file: appender,
        find: "import { largeBatchUntil }",
        replace: "import { largeBatchUntil, pointTo }",
      },
      {
        file: appender,
        find: "      segmentBytes += batches.reduce(",
        replace: `      for (const { large } of batches) if (large !== undefined) pointTo(large);
      segmentBytes += batches.reduce(`,
      },
    ],
  },
];
