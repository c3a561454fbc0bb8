import { utf8 } from "../../../src/broker/bytes.ts";
import { forward } from "../../../src/broker/consuming/forward.ts";
import { receiptHandleOf } from "../../../src/broker/consuming/receipt-handle.ts";
import { limits } from "../../../src/broker/limits.ts";
import { ownKey } from "../../../src/broker/schema.ts";
import type { OwnWrite } from "../../../src/broker/sending/own-rows.ts";
import { sendWithRows } from "../../../src/broker/sending/send-with-rows.ts";
import type { Client } from "../client.ts";
import { uidIn } from "../consumption.ts";
import { type Forwarding, type ForwardSeen, forwardGroup as group } from "../forwarding.ts";
import type { Scenario } from "../scenario.ts";

/** Less than what it is remembered for, as clocks differ. */
const rememberedMs = limits.forwardKeptMs - 3_600_000;
const [inbox, hop, ledger] = ["inbox", "hop", "ledger"] as const;

/** Stores messages together with rows of its own, receives some, and forwards them; what it was not told it asks again. */
export function forwarder(seen: Forwarding, scenario: Scenario) {
  let number = 0;
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      const { dice } = client.world;
      if (dice.chance(0.5)) await enlist(client, seen, `${client.name}-${++number}-0`);
      else await receiveAndForward(client, seen, () => `${client.name}-${++number}-f`);
      await client.pause(dice.between(0, 2 * scenario.thinkMs));
    }
  };
}

function row(uid: string): OwnWrite {
  return { kind: "put", key: ownKey("enlisted", utf8(uid)), value: utf8(uid), expect: "absent" };
}

async function enlist(client: Client, seen: Forwarding, uid: string): Promise<void> {
  const { dice, rates } = client.world;
  const enlisted = { uid, startedAt: client.world.now, told: false };
  seen.enlisted.push(enlisted);
  const batchId = dice.bytes(16);
  const error = dice.between(-rates.clockErrorMs, rates.clockErrorMs);
  const message = { body: utf8(`${uid} ${"x".repeat(dice.between(0, 200))}`) };
  let firstAttemptAt: number | undefined;
  for (let attempt = 1; attempt <= 4 && !client.done; attempt++) {
    const reply = await client.call(
      "sendWithRows",
      (broker, io) => {
        firstAttemptAt ??= client.world.now + error;
        const rows = [row(uid)];
        return sendWithRows(io, broker, { topic: inbox, message, rows, batchId, firstAttemptAt });
      },
      { repeatable: true },
    );
    if (reply.outcome === "ok") {
      enlisted.told = true;
      return;
    }
    await client.pause(dice.between(0, 3_000));
  }
}

async function receiveAndForward(
  client: Client,
  seen: Forwarding,
  newUid: () => string,
): Promise<void> {
  const { dice } = client.world;
  const max = dice.between(1, 4);
  const invisibleMs = dice.pick([1_000, 5_000, 60_000]);
  const received = await client.call("receive", (broker, io) =>
    broker.receiving.receive(io, {
      ...{ group, topic: inbox, max, bytesMax: 100_000, invisibleMs, waitMs: 0 },
    }),
  );
  if (received.outcome !== "ok" || received.value.messages.length === 0) return;
  const deliveries = received.value.messages.map(({ receipt, stored }) => ({
    handle: receiptHandleOf(receipt),
    uid: uidIn(stored.message.body),
  }));
  // Some work takes longer than the messages are invisible.
  if (dice.chance(0.2)) await client.pause(dice.between(0, 12_000));
  const many = dice.chance(0.6) ? deliveries.length : 1;
  const forwarded: ForwardSeen = {
    uid: newUid(),
    sources: deliveries.slice(0, many).map(({ uid }) => uid),
    handles: deliveries.slice(0, many).map(({ handle }) => handle),
    hasRow: dice.chance(0.5),
    results: new Set(),
    stale: false,
    startedAt: client.world.now,
  };
  seen.forwards.push(forwarded);
  client.world.note(
    () => `${client.name} forwards ${forwarded.sources.join(" ")} as ${forwarded.uid}`,
  );
  const body = utf8(`${forwarded.uid} ${"x".repeat(dice.between(0, 600))}`);
  for (let attempt = 1; attempt <= 5 && !client.done; attempt++) {
    const told = dice.chance(0.1)
      ? await Promise.all([ask(client, forwarded, body), ask(client, forwarded, body)])
      : [await ask(client, forwarded, body)];
    // Now and then once more, to be told the same.
    if (told.some(Boolean) && !dice.chance(0.2)) return;
    await client.pause(dice.between(0, dice.pick([20, 5_000])));
  }
}

/** Asks once. Answers whether it is known what became of it. */
async function ask(client: Client, forwarded: ForwardSeen, body: Uint8Array): Promise<boolean> {
  const { uid, handles, hasRow, results } = forwarded;
  const rows = hasRow ? [row(uid)] : [];
  const sends = [
    { topic: hop, messages: [{ body }, { body, messageGroup: uid }] },
    { topic: ledger, messages: [{ body }] },
  ];
  const reply = await client.call(
    "forward",
    (broker, io) => forward(io, broker, { group, handles, sends, rows }),
    { repeatable: true },
  );
  if (reply.outcome === "ok") {
    results.add(JSON.stringify(reply.value));
    return true;
  }
  if (reply.outcome !== "refused" || reply.error.code !== "receipt_stale") return false;
  // After a day nobody remembers it.
  if (client.world.now - forwarded.startedAt < rememberedMs) forwarded.stale = true;
  return true;
}
