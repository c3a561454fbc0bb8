/** A known bug: a change of the source that exists only in a bundle that a test makes. Each `find` stands once in its file. */
export interface Mutant {
  readonly name: string;
  readonly patches: readonly {
    readonly file: string;
    readonly find: string;
    readonly replace: string;
  }[];
}

const appender = "src/broker/log/queue-appender.ts";
const reader = "src/broker/log/log-reader.ts";
const commitLine =
  "      const result = await commitUntilDecided(io, puts, chain.issuedAt + limits.appendDeadlineMs);";

/** Each must be caught by an invariant of the auditor within 100 seeds that are clean without it. */
export const mutants: readonly Mutant[] = [
  {
    name: "offset allocated before the write",
    patches: [
      {
        file: appender,
        find: commitLine,
        replace: `      const allocated = chain.offset;
      for (const { batch } of group) chain.offset += batch.count;
      const result = await io.store.commit(puts, chain.issuedAt + limits.appendDeadlineMs);
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
      for (const pending of group) {
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
    name: "a tail cached for ever",
    patches: [
      {
        file: reader,
        find: "    const page = await io.store.scan({ partition, from: offsetKey(offset), limit, bytesMax });",
        replace: `    if (this.#tails.get(name)?.offset === offset) return { rows: [], minOffset: base, maxOffset: offset };
    const page = await io.store.scan({ partition, from: offsetKey(offset), limit, bytesMax });`,
      },
    ],
  },
  {
    name: "a conflict answered with the wrong tail",
    patches: [
      {
        file: appender,
        find: "    this.#noteForeignRows(now, 1);\n    // The same few",
        replace: "    chain.offset = readBatchRow(current).base + 1;\n    // The same few",
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
    name: "a read that skips what it cannot read",
    patches: [
      {
        file: reader,
        find: "const holder = await readRowAtOrBelow(io, partition, offset);",
        replace:
          "const holder = await readRowAtOrBelow(io, partition, offset).catch(() => undefined);",
      },
      {
        file: reader,
        find: "else if (rows.length > 0) return undefined;",
        replace: "else if (rows.length > 0) void 0;",
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
    name: "a commit of offsets that may go back",
    patches: [
      {
        file: "src/broker/consuming/group-offsets.ts",
        find: "return before >= next ? { unchanged: before } : { value, result: next };",
        replace: "return before === next ? { unchanged: before } : { value, result: next };",
      },
    ],
  },
  {
    name: "compare and set without comparing",
    patches: [
      {
        file: "src/broker/compare-and-set.ts",
        find: 'const put: Write = { kind: "put", key, value: wanted.value, version, expect };',
        replace:
          'void expect; const put: Write = { kind: "put", key, value: wanted.value, version };',
      },
    ],
  },
  {
    name: "an attempt that does not look back",
    patches: [
      {
        file: "src/broker/log/tail-chain.ts",
        find: "if (batch.firstAttemptAt === 0) return true;",
        replace: "if (batch.firstAttemptAt >= 0) return true;",
      },
    ],
  },
  {
    name: "two attempts in one group commit",
    patches: [
      { file: appender, find: "else if (twin !== undefined) twin.join(pending);", replace: "" },
      {
        file: appender,
        find: "else group.set(id, pending);",
        replace: "else group.set(twin === undefined ? id : id + group.size, pending);",
      },
    ],
  },
  {
    name: "a jump that looks at the last row only",
    patches: [
      {
        file: appender,
        find: "      if (chain.link(row, io.clock.now()) === undefined) throw brokenChain(this.#queue);",
        replace: "      chain.offset = row.base + row.count;",
      },
      {
        file: appender,
        find: "if (chain.link(readBatchRow(current), now) === undefined) throw brokenChain(this.#queue);",
        replace: "chain.offset = readBatchRow(current).base + readBatchRow(current).count;",
      },
    ],
  },
  {
    name: "a look back that trusts the clocks",
    patches: [
      {
        file: "src/broker/log/tail-chain.ts",
        find: "return batch.firstAttemptAt - 4 * limits.clockErrorMsMax;",
        replace: "return batch.firstAttemptAt;",
      },
    ],
  },
  {
    name: "a topic made again under its old id",
    patches: [
      {
        file: "src/broker/topics/topics.ts",
        find: "id: nextId(lastId),",
        replace: "id: nextId(lastId) && name.length,",
      },
      {
        file: "src/broker/topics/topics.ts",
        find: '    version: newVersion(io.random),\n    expect: "absent",\n  }));',
        replace: "    version: newVersion(io.random),\n  }));",
      },
    ],
  },
];
