import { search } from "../../../src/broker/searching/search.ts";
import type { Auditor, SearchSeen } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Scenario, TopicPlan } from "../scenario.ts";
import { contentOf, noteDamage } from "./pull-once.ts";

/** So often one page of a search is asked for, and so many pages are read. */
const triesMax = 3;
const pagesMax = 12;

/** Looks for messages by time, by key and by id, and follows a search from page to page at whichever broker answers. */
export function finder(auditor: Auditor, scenario: Scenario) {
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      const { dice } = client.world;
      const topic = dice.pick(scenario.topics);
      await (dice.chance(0.7) ? findOffset : searchTopic)(client, auditor, topic);
      await client.pause(dice.between(0, 8 * scenario.thinkMs));
    }
  };
}

async function findOffset(
  client: Client,
  auditor: Auditor,
  { name: topic, queues }: TopicPlan,
): Promise<void> {
  const { dice } = client.world;
  const queue = dice.between(0, queues - 1);
  const at = someTime(client, auditor, topic);
  const startedAt = client.world.now;
  const reply = await client.call("offsetAt", async (broker, io) => {
    const { id } = await broker.topics.get(io, topic);
    return broker.log.offsetAt(io, { topicId: id, queue }, at);
  });
  noteDamage(client, auditor, reply, { topic, place: `${topic}/${queue} at ${at}` });
  if (reply.outcome !== "ok") return;
  const seen = { reader: client.name, startedAt, endedAt: client.world.now };
  auditor.offsetsAsked.push({ ...seen, topic, queue, at, offset: reply.value });
}

async function searchTopic(
  client: Client,
  auditor: Auditor,
  { name: topic }: TopicPlan,
): Promise<void> {
  const { dice } = client.world;
  const limit = dice.pick([1, 3, 10, 100]);
  const wanted = { ...someTerm(client, auditor, topic), ...someSpan(client, auditor, topic) };
  const seen: SearchSeen = {
    ...{ reader: client.name, topic, ...wanted },
    ...{ startedAt: client.world.now, endedAt: client.world.now, pages: [], complete: false },
  };
  auditor.searches.push(seen);
  let cursor: string | undefined;
  for (let tries = 0; tries < triesMax && seen.pages.length < pagesMax && !client.done; ) {
    const from = cursor;
    const reply = await client.call("search", (broker, io) =>
      search(io, broker, { topic, ...wanted, limit, cursor: from }),
    );
    noteDamage(client, auditor, reply, { topic, place: `${JSON.stringify(wanted)} in ${topic}` });
    tries++;
    if (reply.outcome !== "ok") continue;
    const { found, damaged, scannedTo, nextCursor } = reply.value;
    for (const { queue, from: begin } of damaged) {
      const place = `${topic}/${queue}@${begin}`;
      auditor.damages.push({ what: "damaged", reader: client.name, place });
    }
    seen.pages.push({
      limit,
      scannedTo,
      found: found.map(({ queue, offset, storedAt, messageId, message }) => ({
        ...{ queue, offset, storedAt, messageId },
        ...contentOf(message),
      })),
    });
    seen.endedAt = client.world.now;
    seen.complete = nextCursor === undefined;
    if (seen.complete) return;
    [cursor, tries] = [nextCursor, 0];
  }
}

/** What to look for: one message of the topic by its id, if it has been told, or all that share a key with it. */
function someTerm(
  { world: { dice } }: Client,
  auditor: Auditor,
  topic: string,
): { readonly key: string } | { readonly messageId: string } {
  const sent = [...auditor.sent.values()].filter(
    (each) => each.topic === topic && each.keys.length > 0,
  );
  if (sent.length === 0) return { key: "k" };
  const message = dice.pick(sent);
  const { messageId } = auditor.acknowledgement(message) ?? {};
  return messageId !== undefined && dice.chance(0.4)
    ? { messageId }
    : { key: dice.pick(message.keys) };
}

function someSpan(
  client: Client,
  auditor: Auditor,
  topic: string,
): { readonly from?: number; readonly to?: number } {
  const { dice } = client.world;
  const from = someTime(client, auditor, topic);
  return {
    ...(dice.chance(0.3) ? { from } : {}),
    ...(dice.chance(0.2) ? { to: from + dice.between(1, dice.pick([10, 1_000, 600_000])) } : {}),
  };
}

/** Mostly a time at which somebody saw that a message was stored, for there a wrong answer shows. */
function someTime({ world: { dice, now } }: Client, auditor: Auditor, topic: string): number {
  const pull = auditor.pulls.at(-dice.between(1, 20));
  const seen = pull?.topic === topic ? pull.messages : [];
  if (seen.length === 0 || dice.chance(0.2)) return now - dice.between(-1_000, 100_000);
  return dice.pick(seen).storedAt + dice.between(-1, 1);
}
