import type { Mutant } from "./mutant.ts";

const forward = "src/broker/consuming/forward.ts";
const sendWithRows = "src/broker/sending/send-with-rows.ts";

const note =
  "return [...settled, forwardPut(io, record, { digest, places }), ...own, ...alarms.writes];";

function mutant(name: string, ...patches: Mutant["patches"][number][]): Mutant {
  return { name: `forward: ${name}`, patches };
}

/** Bugs of forwards, and of rows that whoever embeds the broker stores with a message. */
export const mutantsOfForward: readonly Mutant[] = [
  mutant("what is forwarded is not acknowledged", {
    file: forward,
    find: note,
    replace: note.replace("...settled, ", ""),
  }),
  mutant("it is acknowledged by a commit of its own", {
    file: forward,
    find: "    await log.appendTogether(io, batches, (appended) => {",
    replace: `    const early = await io.store.commit(settled, io.clock.now() + 60_000);
    if (early.outcome === "refused") throw new Superseded(settled.map((write, at) => ({ write, current: early.current[at] })));
    settled = [];
    await log.appendTogether(io, batches, (appended) => {`,
  }),
  mutant("the states are put without looking who was faster", {
    file: forward,
    find: "version: newVersion(io.random), expect };",
    replace: "version: newVersion(io.random), ...(expect === undefined ? { expect } : {}) };",
  }),
  mutant("it does not note what it did", {
    file: forward,
    find: note,
    replace: note.replace("forwardPut(io, record, { digest, places }), ", ""),
  }),
  mutant("each queue is appended to by itself", {
    file: forward,
    find: "    await log.appendTogether(io, batches, (appended) => {",
    replace: `    for (const each of batches.slice(1))
      if (each.batch.large === undefined) {
        const { base } = await log.append(io, { topicId: each.topicId, queue: each.queue }, each.batch, each);
        each.members.forEach(({ index }, place) => { places[index] = { queue: each.queue, offset: base + place }; });
      }
    await log.appendTogether(io, batches.filter(({ batch }, at) => at === 0 || batch.large !== undefined), (appended) => {`,
  }),
  // The store knows a commit that it is asked for again by its versions, wherever its rows were to lie.
  mutant("an unknown outcome is not decided before the ends are read again", {
    file: "src/broker/log/append-together.ts",
    find: "    const result = await commitUntilDecided(io, writes, until);",
    replace: `    const result = await io.store.commit(writes, until);
    if (result.outcome === "unknown") return false;`,
  }),
  mutant("a stale receipt does not refuse it", {
    file: forward,
    find: "  if (notOpen.length > 0) throw staleReceipts(notOpen, why);",
    replace: "  if (notOpen.length > 1_000) throw staleReceipts(notOpen, why);",
  }),
  mutant(
    "a row of the embedder is put behind the acknowledgement",
    {
      file: forward,
      find: note,
      replace: note.replace("...own, ", ""),
    },
    {
      file: forward,
      find: "  alarms.applied();\n",
      replace:
        "  if (own.length > 0) await io.store.commit(own, io.clock.now() + 60_000);\n  alarms.applied();\n",
    },
  ),
  mutant(
    "a row of the embedder is put behind the message",
    {
      file: sendWithRows,
      find: `        along: {
          keys: writes.map(({ key }) => key),
          bytes: ownBytes(rows),
          writes: () => writes,
        },
`,
      replace: "",
    },
    {
      file: sendWithRows,
      find: "    return { messageId: message.messageId ??",
      replace:
        "    await io.store.commit(writes, now + 60_000);\n    return { messageId: message.messageId ??",
    },
  ),
];
