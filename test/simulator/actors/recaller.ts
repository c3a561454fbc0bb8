import type { TimerName } from "../../../src/broker/timers/timer.ts";
import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Reply } from "../cluster.ts";
import type { DelayedMessage, RecallAnswer } from "../delayed-message.ts";
import type { Scenario } from "../scenario.ts";

/** Recalls what others have wait, before, around and after it is due, once or again; and asks what waits. */
export function recaller(auditor: Auditor, scenario: Scenario) {
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      const { dice } = client.world;
      if (dice.chance(0.4)) await list(client, auditor, scenario);
      else await recallOne(client, auditor);
      await client.pause(dice.between(0, 50 * scenario.thinkMs));
    }
  };
}

/** It waits for so long at most for something to be due. */
const patienceMs = 60_000;

async function recallOne(client: Client, auditor: Auditor): Promise<void> {
  const { world } = client;
  const { dice } = world;
  const known = [...auditor.delayed.values()].filter(({ names }) => names.length > 0).slice(-20);
  if (known.length === 0) return;
  const message = dice.pick(known);
  const untilDue = message.dueAt - world.now;
  if (untilDue > 0 && untilDue < patienceMs && dice.chance(0.5))
    await client.pause(untilDue + dice.between(-20, dice.pick([20, 500])));
  const name = dice.pick(message.names);
  for (let again = dice.pick([1, 1, 2, 3]); again > 0; again--) await recall(client, message, name);
}

async function recall(client: Client, message: DelayedMessage, name: TimerName): Promise<void> {
  const { world } = client;
  const seen: { startedAt: number; endedAt?: number; answer: RecallAnswer } = {
    startedAt: world.now,
    answer: { outcome: "unknown" },
  };
  message.recalls.push(seen);
  const reply = await client.call("recall", (broker, io) => broker.timers.recall(io, name), {
    repeatable: true,
  });
  seen.endedAt = world.now;
  seen.answer = answerOf(reply);
  world.note(() => `${client.name} recalled ${message.uid}: ${JSON.stringify(seen.answer)}`);
}

function answerOf(reply: Reply<unknown>): RecallAnswer {
  if (reply.outcome === "ok") return { outcome: "recalled" };
  if (reply.outcome === "unknown") return { outcome: "unknown" };
  const answer = refusalOf(reply.error);
  // The other one of a request that went twice may have recalled it.
  return answer.outcome === "refused" && reply.repeated ? { outcome: "unknown" } : answer;
}

/** What a refusal to recall says. */
export function refusalOf({
  code,
  details,
}: {
  readonly code: string;
  readonly details: unknown;
}): RecallAnswer {
  if (code === "delayed_not_found") return { outcome: "not found" };
  if (code !== "recall_too_late") return { outcome: "refused" };
  const { queue, offset } = details as { queue: number; offset?: number };
  return { outcome: "too late", queue, offset };
}

const listed = 1_000;

async function list(client: Client, auditor: Auditor, scenario: Scenario): Promise<void> {
  const { world } = client;
  const { dice } = world;
  const topic = dice.chance(0.3) ? dice.pick(scenario.topics).name : undefined;
  const limit = dice.chance(0.3) ? dice.between(1, 10) : listed;
  const startedAt = world.now;
  const reply = await client.call("listDelayed", async (broker, io) => {
    const topicId = topic === undefined ? {} : { topicId: (await broker.topics.get(io, topic)).id };
    const first = await broker.timers.list(io, { ...topicId, limit });
    if (first.next === undefined) return first.waiting.map(({ messageId }) => messageId);
    const rest = await broker.timers.list(io, { ...topicId, limit: listed, after: first.next });
    if (rest.next !== undefined) return undefined;
    return [...first.waiting, ...rest.waiting].map(({ messageId }) => messageId);
  });
  if (reply.outcome !== "ok" || reply.value === undefined) return;
  const waiting = new Set(reply.value);
  auditor.lists.push({ by: client.name, startedAt, endedAt: world.now, topic, waiting });
}
