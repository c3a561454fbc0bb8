import type { Settled } from "../../../src/broker/consuming/settle-receipts.ts";
import { acknowledge, extend, giveBack } from "../../../src/broker/consuming/settle-receipts.ts";
import type { Client } from "../client.ts";
import type { Consumption, Delivery, GroupPlan } from "../consumption.ts";
import type { Scenario } from "../scenario.ts";

const topic = "orders";
/** Clocks of two brokers differ by at most so much. */
const clockErrorMs = 500;

/**
 * Receives, and acknowledges most: some it gives back, some it holds for longer, some it forgets. In an orderly group it
 * works on a message only if it got the one before it off its hands.
 */
export function receiver(seen: Consumption, scenario: Scenario, plan: GroupPlan) {
  let attempts = 0;
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      const { dice } = client.world;
      const attemptId = dice.chance(0.5) ? `${client.name}-${++attempts}` : undefined;
      const asked = { attemptId, invisibleMs: dice.pick([1_000, 5_000, 30_000]) };
      let deliveries = await receiveOnce(client, seen, plan, asked);
      // Whoever was not told asks again.
      if (deliveries === undefined && attemptId !== undefined)
        deliveries = await receiveOnce(client, seen, plan, asked);
      // Some work takes longer than the message is invisible.
      if (dice.chance(0.2)) await client.pause(dice.between(0, 12_000));
      await treat(client, plan, deliveries ?? []);
      await client.pause(dice.between(0, scenario.thinkMs));
    }
  };
}

async function receiveOnce(
  client: Client,
  seen: Consumption,
  { name: group }: GroupPlan,
  {
    attemptId,
    invisibleMs,
  }: { readonly attemptId: string | undefined; readonly invisibleMs: number },
): Promise<Delivery[] | undefined> {
  const { dice } = client.world;
  const max = dice.between(1, 10);
  const waitMs = dice.chance(0.2) ? 3_000 : 0;
  const reply = await client.call("receive", (broker, io) =>
    broker.receiving.receive(io, {
      ...{ group, topic, max, bytesMax: 100_000, invisibleMs, waitMs, attemptId },
    }),
  );
  if (reply.outcome !== "ok") return undefined;
  const seenAt = client.world.now;
  const deliveries = seen.gave(client.name, group, reply.value.messages, { invisibleMs, seenAt });
  client.world.note(
    () =>
      `${client.name} has ${deliveries.map(({ uid, attempt }) => `${uid}#${attempt}`).join(" ")}`,
  );
  return deliveries;
}

async function treat(
  client: Client,
  plan: GroupPlan,
  deliveries: readonly Delivery[],
): Promise<void> {
  const { dice } = client.world;
  const stuck = new Set<string>();
  const isOrdered = ({ messageGroup }: Delivery) => plan.orderly && messageGroup !== undefined;
  let batch: Delivery[] = [];
  for (const delivery of deliveries) {
    if (isOrdered(delivery) && stuck.has(delivery.messageGroup ?? "")) continue;
    if (dice.chance(0.6)) {
      batch.push(delivery);
      if (!isOrdered(delivery) && dice.chance(0.7)) continue;
      if (!(await acknowledgeAll(client, plan, batch))) stuck.add(delivery.messageGroup ?? "");
      batch = [];
    } else {
      stuck.add(delivery.messageGroup ?? "");
      if (dice.chance(0.4)) await giveBackOne(client, plan, delivery);
      else if (dice.chance(0.5)) await extendOne(client, plan, delivery);
    }
    if (client.done) return;
  }
  if (batch.length > 0) await acknowledgeAll(client, plan, batch);
}

/** Whether all of them are off his hands. */
async function acknowledgeAll(
  client: Client,
  { name: group }: GroupPlan,
  deliveries: readonly Delivery[],
): Promise<boolean> {
  const startedAt = client.world.now;
  for (const delivery of deliveries) delivery.maybeAcknowledged = true;
  const handles = deliveries.map(({ handle }) => handle);
  const reply = await client.call("ack", (broker, io) =>
    acknowledge(io, broker, { group, handles }),
  );
  if (reply.outcome === "unknown") return false;
  const endedAt = client.world.now;
  let all = true;
  deliveries.forEach((delivery, index) => {
    const code = codeOf(reply, index);
    // The outcome of a part may be unknown; and what was tried before may have been done.
    if (code === "outcome_unknown") all = false;
    else if (code === undefined) delivery.acknowledged ??= { startedAt, endedAt };
    else all = false;
  });
  return all;
}

async function giveBackOne(client: Client, { name: group }: GroupPlan, delivery: Delivery) {
  const { dice, now: startedAt } = client.world;
  const delayMs = dice.chance(0.3) ? dice.between(0, 70_000) : undefined;
  delivery.until = Math.min(delivery.until, startedAt);
  delivery.givenBack = true;
  await client.call("nack", (broker, io) =>
    giveBack(io, broker, { group, handles: [delivery.handle], delayMs }),
  );
}

async function extendOne(client: Client, { name: group }: GroupPlan, delivery: Delivery) {
  const { dice, now: startedAt } = client.world;
  const invisibleMs = dice.pick([1_000, 10_000]);
  const before = delivery.until;
  const after = startedAt + invisibleMs - clockErrorMs;
  delivery.until = Math.min(before, after);
  const handles = [delivery.handle];
  const reply = await client.call("extend", (broker, io) =>
    extend(io, broker, { group, handles, invisibleMs }),
  );
  const code = reply.outcome === "unknown" ? "unknown" : codeOf(reply, 0);
  if (code === undefined) delivery.until = after;
}

function codeOf(
  reply: { outcome: "ok"; value: Settled } | { outcome: "refused"; error: { code: string } },
  index: number,
): string | undefined {
  return reply.outcome === "ok" ? reply.value[index]?.code : reply.error.code;
}
