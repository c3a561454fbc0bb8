import { type Mutant, source } from "./mutant.ts";

const { reader, topics } = source;

/** Bugs of reading rows, and of topics and committed offsets. */
export const mutantsOfReadingAndRecords: readonly Mutant[] = [
  {
    name: "a tail cached for ever",
    patches: [
      {
        file: reader,
        find: "    const page = await io.store.scan({ partition, from: offsetKey(offset), limit, bytesMax });",
        replace: `    if (this.#tails.get(name)?.offset === offset) return { rows: [], end: offset, tail: true };
    const page = await io.store.scan({ partition, from: offsetKey(offset), limit, bytesMax });`,
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
        find: "else if (rows.length > 0 || (holder !== undefined && isSeal(holder))) return undefined;",
        replace:
          "else if (holder !== undefined && isSeal(holder)) return undefined; else if (rows.length > 0) void 0;",
      },
    ],
  },
  {
    name: "a seek that passes over what was stored at that very instant",
    patches: [
      {
        file: "src/broker/log/offset-at-time.ts",
        find: "if (row.storedAt < at) low = rowEnd;",
        replace: "if (row.storedAt <= at) low = rowEnd;",
      },
    ],
  },
  {
    name: "a search that does not go on where its page was full",
    patches: [
      {
        file: "src/broker/searching/search.ts",
        find: "if (page.isFull) return { end: message.offset + 1, ended: false };",
        replace: "if (page.isFull) return { end: batchEnd, ended: false };",
      },
    ],
  },
  {
    name: "a commit of offsets that may go back",
    patches: [
      {
        file: "src/broker/consuming/settle-state.ts",
        find: "  if (next > state.next) {",
        replace: "  if (next !== state.next) {",
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
    name: "a topic made again under its old id",
    patches: [
      {
        file: topics,
        find: "id: nextId(lastId),",
        replace: "id: nextId(lastId) && name.length,",
      },
      {
        file: topics,
        find: '    version: newVersion(io.random),\n    expect: "absent",\n  }));',
        replace: "    version: newVersion(io.random),\n  }));",
      },
    ],
  },
];
