import { type Mutant, source } from "./mutant.ts";

const { chain, changes, directory, reader, segment, segmentWork, topicDeletion } = source;

/** Bugs of sealing, archiving, trimming and deleting, and of reading what is being sealed, archived and trimmed. */
export const mutantsOfSegments: readonly Mutant[] = [
  {
    name: "a seal that puts no row",
    patches: [
      {
        file: changes,
        find: "    const empty: EmptySegment = {",
        replace: "    writes.shift();\n    const empty: EmptySegment = {",
      },
    ],
  },
  {
    name: "a seal ignored",
    patches: [
      {
        file: chain,
        find: "    if (isSeal(row)) this.sealed = true;",
        replace: "    if (isSeal(row)) [this.offset, this.rows] = [row.base + 1, row.index + 1];",
      },
    ],
  },
  {
    name: "a seal and its directory entries in two commits",
    patches: [
      {
        file: changes,
        find: "    return await this.#decided(io, writes, now, added.entry);",
        replace: `    const sealing = await commitUntilDecided(io, writes.slice(0, 1), now + limits.appendDeadlineMs);
    if (sealing.outcome !== "applied") return undefined;
    return await this.#decided(io, writes.slice(1), now, added.entry);`,
      },
    ],
  },
  {
    name: "two parts of a segment in one partition",
    patches: [
      {
        file: changes,
        find: "part: end.rows > 0 ? 0 : segment.part + 1,",
        replace: "part: 0,",
      },
    ],
  },
  {
    name: "an idle queue that starts again at its old base",
    patches: [
      {
        file: changes,
        find: "    const added = turn(io, queue, { base: base + limits.lostJump, readAt: now }, next);",
        replace:
          "    const added = turn(io, queue, entry, { ...next, part: segment.part + 1 }); void version;",
      },
      {
        file: changes,
        find: '      { kind: "delete", key: keys.segment(queue, base), expect: { version } },\n      added.write,',
        replace: "      added.write,",
      },
    ],
  },
  {
    name: "a segment whose rows expired taken for an empty one",
    patches: [
      {
        file: segment,
        find: '    (segment.state === "open" || segment.state === "sealed") &&',
        replace: '    segment.state === "sealed" &&',
      },
    ],
  },
  {
    name: "a lost segment that leaves those before it",
    patches: [
      {
        file: changes,
        find: "    while (entry.base > 0 && (await this.trim(io, queue, entry.base - 1)).more);\n",
        replace: "",
      },
    ],
  },
  {
    name: "a directory cached for ever",
    patches: [
      {
        file: directory,
        find: "return entry !== undefined && io.clock.now() - entry.readAt < limits.directoryAgeMsMax;",
        replace: "void io; return entry !== undefined;",
      },
    ],
  },
  {
    name: "archive flipped before the blob is there",
    patches: [
      {
        file: segmentWork,
        find: 'if (outcome === "stored") return readArchive(bytes);',
        replace: 'if (outcome !== "exists") return readArchive(bytes);',
      },
    ],
  },
  {
    name: "rows deleted before the flip",
    patches: [
      {
        file: segmentWork,
        find: "    const { blocks } = await putArchive(io, work, entry);",
        replace:
          "    const { blocks } = await putArchive(io, work, entry);\n    await dropRows(io, work);",
      },
    ],
  },
  {
    name: "rows deleted before the grace",
    patches: [
      {
        file: changes,
        find: "...this.#rowsDropped(io, idOf(queue, entry), io.clock.now() + this.#settings.rowsKeptMs),",
        replace: "...this.#rowsDropped(io, idOf(queue, entry), io.clock.now()),",
      },
    ],
  },
  {
    name: "a read that skips a failed blob",
    patches: [
      {
        file: reader,
        find: "const rows = await readArchivedRows(io, queue, entry, { offset, bytesWanted });",
        replace:
          "const rows = await readArchivedRows(io, queue, entry, { offset, bytesWanted }).catch(() => []);",
      },
    ],
  },
  {
    name: "blob trimmed before the directory",
    patches: [
      {
        file: changes,
        find: "    if (trimmed.length === 0) return { more: false };",
        replace: `    if (trimmed.length === 0) return { more: false };
    for (const { base, segment } of trimmed) await io.blobs.delete(archiveKey(queue, { base, part: segment.part }));`,
      },
      {
        file: changes,
        find: "import { keys, offsetKey, partitions, type QueueId } from",
        replace: "import { archiveKey, keys, offsetKey, partitions, type QueueId } from",
      },
    ],
  },
  {
    name: "a trim that leaves a hole",
    patches: [
      {
        file: changes,
        find: "const range = { to: offsetKey(upTo), limit: trimmedAtOnce + 1 };",
        replace:
          "const range = { from: offsetKey(upTo), to: offsetKey(upTo), limit: trimmedAtOnce + 1 };",
      },
    ],
  },
  {
    name: "a trim before the retention is over",
    patches: [
      {
        file: changes,
        find: "Math.max(lastAt + segment.retentionMs, now + this.#settings.rowsKeptMs),",
        replace: "now + this.#settings.rowsKeptMs,",
      },
    ],
  },
  {
    name: "a trim before rows may vanish",
    patches: [
      {
        file: changes,
        find: "Math.max(lastAt + segment.retentionMs, now + this.#settings.rowsKeptMs),",
        replace: "lastAt + segment.retentionMs,",
      },
    ],
  },
  {
    name: "a stray blob that nobody looks for",
    patches: [
      {
        file: changes,
        find: '        putWork(io, { dueAt: now + strayBlobMs, work: { kind: "drop-blob", round: 2, ...id } }),\n',
        replace: "",
      },
      { file: changes, find: "      const { strayBlobMs } = this.#settings;\n", replace: "" },
    ],
  },
  {
    name: "a blob of a trimmed segment that is left",
    patches: [
      {
        file: changes,
        find: '    if (this.isArchivable({ ...segment, state: "sealed" })) {',
        replace: '    if (segment.state === "archived") {',
      },
    ],
  },
  {
    name: "a deleted topic that is swept once",
    patches: [
      {
        file: topicDeletion,
        find: "  if (work.round === 2) return { writes: [] };",
        replace: "  if (work.round >= 1) return { writes: [] };",
      },
    ],
  },
  {
    name: "work that is removed when it is begun",
    patches: [
      {
        file: "src/broker/work/work-queue.ts",
        find: '  if (result !== "again") {',
        replace:
          '  if (result === "again") await io.store.commit([{ kind: "delete", key: item.key }], now + 60_000);\n  else {',
      },
    ],
  },
  {
    name: "an open segment that nobody seals",
    patches: [
      {
        file: changes,
        find: "[change.write, putWork(io, seal)], now, change.entry);",
        replace: "[change.write], now, change.entry); void seal;",
      },
    ],
  },
  {
    name: "a sealed segment that nobody archives",
    patches: [
      {
        file: changes,
        find: "    if (this.isArchivable(sealed))\n",
        replace: "    if (this.isArchivable(sealed) && reopen === undefined)\n",
      },
    ],
  },
  {
    name: "a sealed segment that nobody trims",
    patches: [
      {
        file: changes,
        find: '      putWork(io, { dueAt: sealed.trimAt, work: { kind: "trim", ...id } }),\n',
        replace: "",
      },
    ],
  },
  {
    name: "rows of an archived segment that nobody deletes",
    patches: [
      {
        file: changes,
        find: "...this.#rowsDropped(io, idOf(queue, entry), io.clock.now() + this.#settings.rowsKeptMs),",
        replace: "",
      },
    ],
  },
  {
    name: "rows of a trimmed segment that nobody deletes",
    patches: [
      {
        file: changes,
        find: 'return segment.state === "sealed" ? [...writes, ...this.#rowsDropped(io, id, now)] : writes;',
        replace: "return writes;",
      },
    ],
  },
];
