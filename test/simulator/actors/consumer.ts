import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Scenario, TopicPlan } from "../scenario.ts";
import { pullOnce } from "./pull-once.ts";

/** Reads every queue of its topics in order and commits now and then; after a crash it begins again where it committed. */
export function consumer(auditor: Auditor, scenario: Scenario, group: string) {
  return async (client: Client): Promise<void> => {
    const positions = new Map<string, number>();
    while (!client.done) {
      const topic = client.world.dice.pick(scenario.topics);
      if (!positions.has(`${topic.name}/0`))
        await resume(client, auditor, { group, topic, positions });
      await consumeSome(client, auditor, { group, topic, positions });
      await client.pause(client.world.dice.between(0, scenario.thinkMs));
    }
  };
}

interface Progress {
  readonly group: string;
  readonly topic: TopicPlan;
  readonly positions: Map<string, number>;
}

async function resume(
  client: Client,
  auditor: Auditor,
  { group, topic, positions }: Progress,
): Promise<void> {
  const startedAt = client.world.now;
  const reply = await client.call("getOffsets", async (broker, io) =>
    broker.groupOffsets.get(io, group, await broker.topics.get(io, topic.name)),
  );
  if (reply.outcome !== "ok") return;
  for (let queue = 0; queue < topic.queues; queue++) {
    const offset = reply.value.get(queue) ?? 0;
    positions.set(`${topic.name}/${queue}`, offset);
    auditor.offsetsSeen.push({
      group,
      topic: topic.name,
      queue,
      offset,
      startedAt,
      endedAt: client.world.now,
    });
  }
}

async function consumeSome(
  client: Client,
  auditor: Auditor,
  { group, topic, positions }: Progress,
): Promise<void> {
  const { dice } = client.world;
  const queue = dice.between(0, topic.queues - 1);
  const place = `${topic.name}/${queue}`;
  const from = positions.get(place);
  if (from === undefined) return;
  const pull = await pullOnce(client, auditor, {
    topic: topic.name,
    queue,
    from,
    max: dice.between(1, 20),
    waitMs: dice.chance(0.3) ? 3_000 : 0,
  });
  // What was there has been trimmed, or the topic was deleted and made again.
  if (pull?.outOfRange) positions.set(place, pull.min);
  const last = pull?.messages.at(-1);
  if (last !== undefined) positions.set(place, last.offset + 1);
  if (dice.chance(0.3)) await commit(client, auditor, { group, topic, positions });
}

async function commit(
  client: Client,
  auditor: Auditor,
  { group, topic, positions }: Progress,
): Promise<void> {
  const { dice } = client.world;
  const offsets = new Map<number, number>();
  for (let queue = 0; queue < topic.queues; queue++) {
    const position = positions.get(`${topic.name}/${queue}`);
    // Two members of a group may both believe that a queue is theirs: the one behind commits lower offsets.
    if (position !== undefined && dice.chance(0.7))
      offsets.set(queue, Math.max(0, position - (dice.chance(0.2) ? dice.between(1, 5) : 0)));
  }
  if (offsets.size === 0) return;
  const startedAt = client.world.now;
  const reply = await client.call("commitOffsets", async (broker, io) =>
    broker.groupOffsets.commit(io, {
      group,
      topic: await broker.topics.get(io, topic.name),
      offsets,
    }),
  );
  if (reply.outcome !== "ok") return;
  for (const [queue, offset] of reply.value) {
    auditor.offsetsSeen.push({
      group,
      topic: topic.name,
      queue,
      offset,
      startedAt,
      endedAt: client.world.now,
    });
  }
}
