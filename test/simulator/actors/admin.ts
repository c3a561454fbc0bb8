import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Reply } from "../cluster.ts";
import type { Scenario, TopicPlan } from "../scenario.ts";

/** Makes the topics, looks at them, changes them, and deletes those that may be deleted. */
export function admin(auditor: Auditor, scenario: Scenario) {
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      const { dice } = client.world;
      const topic = dice.pick(scenario.topics);
      await dice.pick(
        topic.volatile
          ? [ensure, ensure, ensure, look, change, lag, list, sweep, remove, remove, remove]
          : [ensure, look, change, lag, list, sweep],
      )(client, topic, auditor);
      await client.pause(dice.between(0, scenario.thinkMs));
    }
  };
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
const change: Chore = (client, { name, volatile }) => {
  const { dice } = client.world;
  const changes = volatile
    ? { queues: dice.between(1, 6) }
    : { retentionMs: dice.between(60_000, 600_000) };
  return client.call("changeTopic", (broker, io) => broker.topics.change(io, name, changes));
};

const lag: Chore = (client, { name }) =>
  client.call("lag", async (broker, io) =>
    broker.groupOffsets.lag(io, broker.log, "group1", await broker.topics.get(io, name)),
  );

const list: Chore = (client) =>
  client.call("listTopics", (broker, io) => broker.topics.list(io, { after: undefined, limit: 2 }));

const sweep: Chore = (client) => client.call("sweep", (broker, io) => broker.sweep(io));

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
