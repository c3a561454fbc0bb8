/** A line of code that keeps a law, and what takes the law away. */
export interface Mutation {
  readonly adapter: string;
  readonly law: string;
  /** What the mutant does wrong. */
  readonly what: string;
  readonly file: string;
  /** Exact text; it must be there once. */
  readonly find: string;
  readonly replace: string;
  /** The test file that must notice. */
  readonly test: string;
}

type Row = readonly [law: number, what: string, find: string, replace: string, file?: string];

const rules = "src/adapters/memory/store-rules.ts";
const codec = "src/adapters/local/lmdb-codec.ts";
const paths = "src/adapters/local/blob-paths.ts";

const own = `if (own) return { outcome: "applied" };`;
const checkLimits = "assertCommitWithinLimits(writes);";

/** Both stores judge commits by the same rules, so each must notice when those are wrong. */
const ruleRows: readonly Row[] = [
  [
    3,
    "one condition that holds is enough",
    "writes.every((write, i)",
    "writes.some((write, i)",
    rules,
  ],
  [3, "versions are not compared", "seen?.version === expect.version", "seen !== undefined", rules],
  [
    3,
    "absent is not asked",
    `expect === "absent" ? seen === undefined`,
    `expect === "absent" ? true`,
    rules,
  ],
  [
    3,
    "a refusal tells nothing",
    'outcome: "refused", current };',
    'outcome: "refused", current: [] };',
    rules,
  ],
  [4, "own earlier attempt is not known", own, "void own;", rules],
  [5, "expires a moment late", "item.expiresAt <= now", "item.expiresAt < now", rules],
  [5, "vacant means absent", `if (expect === "vacant") return item === undefined;`, "", rules],
  [5, "hides what is not vacant", `write.expect === "vacant" ? found[i] : `, "", rules],
  [6, "a scan asks for anything", "limit >= 1 && limit <= scanItemsMax", "limit > 0", rules],
  [
    6,
    "a get asks for anything",
    `assert(keys.length <= storeLimits.getKeysMax, "a get has at most 100 keys");`,
    "void storeLimits;",
    rules,
  ],
];

const tables: readonly { adapter: string; file: string; test: string; rows: readonly Row[] }[] = [
  {
    adapter: "memory-store",
    file: "src/adapters/memory/memory-store.ts",
    test: "test/adapters/memory/memory-store.test.ts",
    rows: [
      ...ruleRows,
      [
        1,
        "upper bound is exclusive",
        "return found ? index + 1 : index;",
        "return found ? index : index;",
      ],
      [
        1,
        "crossed bounds are not seen",
        "all.slice(start, Math.max(start, end))",
        "all.slice(Math.min(start, end), Math.max(start, end))",
      ],
      [
        1,
        "all partitions are one",
        "return String.fromCharCode(...partition);",
        "return String(partition.length > 300);",
      ],
      [1, "reverse is forgotten", "if (range.reverse) inRange.reverse();", ""],
      [1, "bytesMax is forgotten", "|| bytes >= (range.bytesMax ?? Number.POSITIVE_INFINITY)", ""],
      [1, "more is never said", "return { items, more: true };", "return { items, more: false };"],
      [2, "the caller's buffer is kept", "? value.slice() :", "? value :"],
      [2, "the caller's key is kept", "sort: key.sort.slice()", "sort: key.sort"],
      [
        3,
        "the last write is forgotten",
        "for (const write of writes) this.#write(write);",
        "for (const write of writes.slice(0, 1)) this.#write(write);",
      ],
      [5, "get shows what has expired", "unexpired(this.#find(key), now)", "this.#find(key)"],
      [5, "scan shows what has expired", "if (!unexpired(item, now)) continue;", ""],
      [6, "limits are not checked", checkLimits, ""],
      [7, "the time is not checked", "if (now > until)", "if (now > until + 1e9)"],
      [7, "the very instant is too late", "if (now > until)", "if (now >= until)"],
    ],
  },
  {
    adapter: "lmdb-store",
    file: "src/adapters/local/lmdb-store.ts",
    test: "test/adapters/local/lmdb-store.test.ts",
    rows: [
      ...ruleRows,
      [1, "keys of partitions are mixed", "bytes[0] = partition.length;", "bytes[0] = 1;", codec],
      [1, "the end is exclusive", "inclusiveEnd: true", "inclusiveEnd: false"],
      [1, "reverse is forgotten", "reverse ? [high, low] : [low, high]", "[low, high]"],
      [
        1,
        "no bound lets the partition end early",
        "bound[last] = byte + 1;",
        "bound[last] = byte;",
      ],
      [1, "bytesMax is forgotten", " && bytes < bytesMax) continue;", ") continue;"],
      [
        1,
        "more is said by limit alone",
        "more: behind !== undefined",
        "more: behind !== undefined || limit > 0",
      ],
      [2, "a snapshot is kept for the turn", "this.#db.resetReadTxn();", ""],
      [
        2,
        "the caller's buffer is read late",
        "if (stored) this.#db.putSync(key, stored);",
        "if (stored) this.#db.putSync(key, this.#encode(write).stored ?? stored);",
      ],
      [
        2,
        "an answer comes before the write",
        "this.#waiting.push({ writes: encoded, until, bytes, resolve, reject });",
        'this.#waiting.push({ writes: encoded, until, bytes, resolve, reject });\n      setImmediate(() => resolve({ outcome: "applied" }));',
      ],
      [3, "a refused commit is written", `if (verdict !== "apply") return verdict;`, ""],
      [
        3,
        "a commit does not see those before it in its group",
        "outcomes = group.map((commit) => this.#attempt(commit));",
        "const taken = group;\n        const before = new Map<string, Item | undefined>();\n        const find = this.#db.getBinary.bind(this.#db);\n        for (const { key } of taken.flatMap((commit) => commit.writes)) {\n          before.set(key.join(), find(key) as never);\n        }\n        this.#db.getBinary = ((key: Uint8Array) => before.get(key.join())) as never;\n        outcomes = group.map((commit) => this.#attempt(commit));\n        this.#db.getBinary = find;",
      ],
      [
        3,
        "the last write is forgotten",
        "for (const { write, key, stored } of writes) {",
        "for (const { write, key, stored } of writes.slice(0, 1)) {",
      ],
      [5, "get shows what has expired", "return unexpired(item, now);", "return item;"],
      [
        5,
        "scan shows what has expired",
        "unexpired(decodeItem(key, value), now)",
        "decodeItem(key, value)",
      ],
      [
        5,
        "the expiry is not stored",
        "bytes.writeBigUInt64BE(BigInt(expiresAt ?? 0), headBytes + version.length);",
        "bytes.writeBigUInt64BE(BigInt(2 ** 52), headBytes + version.length);",
        codec,
      ],
      [6, "limits are not checked", checkLimits, ""],
      [7, "the time is not checked", "if (now > until) return", "if (now > until + 1e9) return"],
      [7, "the very instant is too late", "if (now > until) return", "if (now >= until) return"],
      [
        7,
        "the time is checked too early",
        checkLimits,
        `${checkLimits}\n    if (this.#clock.now() > until) throw new Unavailable("late");\n    const held = until + 1e9;\n    if (held > 0) return this.#enqueue(writes, held);\n    return this.#enqueue(writes, until);\n  }\n\n  async #enqueue(writes: readonly Write[], until: number): Promise<CommitResult> {`,
      ],
    ],
  },
  {
    adapter: "lmdb-expiry",
    file: "src/adapters/local/lmdb-store.ts",
    test: "test/adapters/local/lmdb-expiry.test.ts",
    rows: [
      [5, "what has just expired is removed", "now - expiredKeptMs", "now"],
      [5, "what may be removed stays", "expiresAt <= until", "expiresAt < until"],
      [
        5,
        "what was put anew is removed",
        "if (!this.#expiredBy(key, until)) continue;",
        "void until;",
      ],
      [5, "a step knows no end", "items >= expiryPageItems", "items >= Number.POSITIVE_INFINITY"],
      [
        5,
        "a step begins where the one before it began",
        "from && { start: from }",
        "from && { start: Uint8Array.of(0) }",
      ],
    ],
  },
  {
    adapter: "memory-blobs",
    file: "src/adapters/memory/memory-blobs.ts",
    test: "test/adapters/memory/memory-blobs.test.ts",
    rows: [
      [1, "a put overwrites", `if (this.#blobs.has(key)) return "exists";`, ""],
      [2, "nothing is stored", "this.#blobs.set(key, Uint8Array.from(bytes));", ""],
      [2, "the caller's buffer is kept", "Uint8Array.from(bytes)", "bytes"],
      [2, "the blob itself is handed out", ": bytes?.slice();", ": bytes;"],
      [
        3,
        "the length of a range is taken for its end",
        "range.start + range.length",
        "range.length",
      ],
      [4, "a list is not ordered", "keys.sort().slice", "keys.slice"],
      [4, "a page repeats its first key", "key > after", "key >= after"],
      [4, "the prefix is forgotten", "key.startsWith(prefix) && ", ""],
      [4, "more is never said", "more: keys.length > limit", "more: false"],
      [5, "nothing is deleted", "this.#blobs.delete(key);", ""],
    ],
  },
  {
    adapter: "file-blobs",
    file: "src/adapters/local/file-blobs.ts",
    test: "test/adapters/local/file-blobs.test.ts",
    rows: [
      [
        1,
        "a put overwrites",
        "await link(from, to);",
        `await (await import("node:fs/promises")).rename(from, to);`,
      ],
      [
        1,
        "long parts of keys become one",
        'escaped.replace(longPart, "$&+/")',
        "escaped.slice(0, 240)",
        paths,
      ],
      [
        2,
        "a blob is seen while it is written",
        "await writeDurably(temporary, bytes);\n      linked = await linkIfAbsent(temporary, path);",
        `await writeDurably(temporary, new Uint8Array());\n      linked = await linkIfAbsent(temporary, path);\n      const fs = await import("node:fs/promises");\n      if (linked === "stored") await fs.writeFile(path, bytes);`,
      ],
      [2, "a file stands where a folder must be", '"$&+/")}=`', '"$&+/")}`', paths],
      [
        3,
        "a range is not cut",
        "Math.min(range?.length ?? size, size - start)",
        "range?.length ?? size",
      ],
      [
        3,
        "a start past the end is not cut",
        "Math.min(range?.start ?? 0, size)",
        "range?.start ?? 0",
      ],
      [
        4,
        "a list is not ordered",
        "return named.sort((a, b) => (a.name < b.name ? -1 : 1));",
        "return named.reverse();",
        paths,
      ],
      [4, "a page repeats its first key", "key > after) yield", "key >= after) yield", paths],
      [
        4,
        "folders behind the last key are passed over",
        "key > after || after.startsWith(key)",
        "key > after",
        paths,
      ],
      [4, "folders inside the prefix are passed over", " || prefix.startsWith(key)", "", paths],
      [4, "more is never said", "return { blobs, more: true };", "return { blobs, more: false };"],
      [
        5,
        "deleting nothing fails",
        'if (!isAbsence(error)) throw new Unavailable("the blob cannot be deleted"',
        'throw new Unavailable("the blob cannot be deleted"',
      ],
    ],
  },
  {
    adapter: "memory-alarm",
    file: "src/adapters/memory/memory-alarm.ts",
    test: "test/adapters/memory/memory-alarm.test.ts",
    rows: [
      [1, "nobody waits", "void this.#wait(id, at, stop);", "void at;"],
      [
        2,
        "it does not wait",
        "await this.#clock.sleep(due - this.#clock.now(), stop.signal);\n      if (stop.signal.aborted || this.#clock.now() < due) continue;",
        "if (stop.signal.aborted) continue;",
      ],
      [
        2,
        "a passed instant waits",
        "due - this.#clock.now()",
        "Math.max(1_000, due - this.#clock.now())",
      ],
      [3, "it rings for ever", "break;", "due = this.#clock.now() + ringAgainMs;"],
      [
        4,
        "the earlier instant stays",
        "const stop = new AbortController();\n    this.#set.get(id)?.abort();",
        "const stop = new AbortController();",
      ],
      [5, "cancel does nothing", "this.#set.get(id)?.abort();\n    this.#set.delete(id);", ""],
      [6, "a failed ring is forgotten", "due = this.#clock.now() + ringAgainMs;", "break;"],
    ],
  },
  {
    adapter: "local-alarm",
    file: "src/adapters/local/local-alarm.ts",
    test: "test/adapters/local/local-alarm.test.ts",
    rows: [
      [
        1,
        "nothing is stored",
        `await this.#commit({ kind: "put", key: rowKey(id), value: encodeInstant(at), version });`,
        "void [rowKey(id), encodeInstant(at), version];",
      ],
      [
        1,
        "only the first is looked at",
        "else this.#ringing.set(id, this.#ring(id, row));",
        'else if (this.#ringing.size === 0 && id === "a") this.#ringing.set(id, this.#ring(id, row));',
      ],
      [
        1,
        "others' alarms are not looked for",
        "Math.min(nextAt, clock.now() + lookEveryMs)",
        "clock.now() + 1e9",
      ],
      [2, "it does not wait", "if (clock.now() < at)", "if (at < 0)"],
      [
        2,
        "a passed instant waits for the next look",
        "if (at < this.#napUntil) this.#nap.abort();",
        "",
      ],
      [
        1,
        "rows that another process changed are not read",
        "const changed = change?.version !== this.#seenChange;",
        "const changed = this.#seenChange === undefined;",
      ],
      [
        6,
        "only a change is a reason to read the rows",
        "if (!changed && clock.now() < this.#earliestAt)",
        "if (!changed)",
      ],
      [
        3,
        "it rings for ever",
        "const { outcome } = await store.commit([write], clock.now() + commitWithinMs);",
        'const { outcome } = await store.commit([{ ...write, kind: "check", expect: { version } }], clock.now() + commitWithinMs);',
      ],
      [
        4,
        "what is set while it rings is lost",
        `{ kind: "delete", key, expect: { version } }`,
        `{ kind: "delete", key }`,
      ],
      [
        5,
        "cancel does nothing",
        `await this.#commit({ kind: "delete", key: rowKey(id) });`,
        "rowKey(id);",
      ],
      [6, "a failed ring is forgotten", "await ring(id);", "await ring(id).catch(onError);"],
    ],
  },
];

export const mutations: readonly Mutation[] = tables.flatMap(({ adapter, file, test, rows }) =>
  rows.map(([law, what, find, replace, otherFile = file]) => ({
    adapter,
    law: `law ${law}`,
    what,
    file: otherFile,
    find,
    replace,
    test,
  })),
);
