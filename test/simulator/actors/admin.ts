import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Reply } from "../cluster.ts";
import type { Scenario, TopicPlan } from "../scenario.ts";

/** Makes the topics, looks at them, changes and seals them, and deletes those that may be deleted. */
export function admin(auditor: Auditor, scenario: Scenario) {
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      const { dice } = client.world;
      const topic = dice.pick(scenario.topics);
      await dice.pick(
        topic.volatile
          ? [...many(ensure, 6), look, change, lag, list, seal, ...many(remove, 9)]
          : [ensure, look, change, lag, list, seal],
      )(client, topic, auditor);
      await client.pause(dice.between(0, scenario.thinkMs / 2));
    }
  };
}

function many(chore: Chore, times: number): Chore[] {
  return new Array<Chore>(times).fill(chore);
}

type Chore = (client: Client, topic: TopicPlan, auditor: Auditor) => Promise<Reply<unknown>>;

const ensure: Chore = (client, { name, queues }) =>
  client.call("ensureTopic", (broker, io) => broker.topics.ensure(io, name, { queues }));

const look: Chore = (client, { name }) =>
  client.call("topicRange", async (broker, io) => {
    const { id } = await broker.topics.get(io, name);
    return broker.log.range(io, { topicId: id, queue: 0 });
  });

/** More queues would send a message group elsewhere, so only topics without an order to keep get them. */
const change: Chore = (client, { name: topic, volatile, retentionMsMax }, auditor) => {
  const { dice, now: startedAt } = client.world;
  const changes: { queues?: number; retentionMs?: number } = {};
  if (volatile) changes.queues = dice.between(1, 6);
  if (retentionMsMax !== undefined) {
    changes.retentionMs = dice.between(60_000, retentionMsMax);
    auditor.retentions.push({ topic, retentionMs: changes.retentionMs, startedAt });
  }
  return client.call("changeTopic", (broker, io) => broker.topics.change(io, topic, changes));
};

const lag: Chore = (client, { name }) =>
  client.call("lag", async (broker, io) =>
    broker.groupOffsets.lag(io, broker.log, "group1", await broker.topics.get(io, name)),
  );

const list: Chore = (client) =>
  client.call("listTopics", (broker, io) => broker.topics.list(io, { after: undefined, limit: 2 }));

const seal: Chore = (client, { name, queues }) => {
  const queue = client.world.dice.between(0, queues - 1);
  return client.call("seal", async (broker, io) => {
    const { id } = await broker.topics.get(io, name);
    await broker.log.seal(io, { topicId: id, queue });
  });
};

const remove: Chore = async (client, { name: topic }, auditor) => {
  const startedAt = client.world.now;
  const force = client.world.dice.chance(0.7);
  const reply = await client.call("deleteTopic", (broker, io) =>
    broker.deleteTopic(io, topic, { force }),
  );
  if (reply.outcome === "ok")
    auditor.deletions.push({ topic, startedAt, endedAt: client.world.now });
  return reply;
};
