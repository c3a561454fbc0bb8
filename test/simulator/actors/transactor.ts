import { hex, utf8 } from "../../../src/broker/bytes.ts";
import { crc32c } from "../../../src/broker/crc32c.ts";
import type { Transaction } from "../../../src/broker/transactions/transaction.ts";
import type { Auditor, SendAttempt } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Scenario } from "../scenario.ts";
import { producers, type TransactionSeen } from "../transactions-seen.ts";

/** Prepares, decides, and ends what it prepared, unless it is gone in between; some ask for both ends at once. */
export function transactor(auditor: Auditor, scenario: Scenario) {
  let number = 0;
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      await transact(client, auditor, scenario, `${client.name}-${++number}-0`);
      await client.pause(client.world.dice.between(0, 4 * scenario.thinkMs));
    }
  };
}

/** Asks what became of which transactions, and ends them as the local database says. What it does not know is rolled back. */
export function checker(auditor: Auditor) {
  return async (client: Client): Promise<void> => {
    const { dice } = client.world;
    while (!client.done) {
      const askedAt = client.world.now;
      const max = dice.between(1, 8);
      const reply = await client.call("takeChecks", (broker, io) =>
        broker.checks.take(io, producers, { max, waitMs: 0, isOver: () => true }),
      );
      const toldAt = client.world.now;
      for (const { id, check } of reply.outcome === "ok" ? reply.value : []) {
        const seen = auditor.transactions.get(hex(id));
        if (seen === undefined) throw new Error("a check of what nobody prepared");
        seen.checks.push({ by: client.name, check, askedAt, toldAt });
        if (dice.chance(0.3)) continue;
        seen.decided ??= "rollback";
        await end(client, auditor, seen, seen.decided);
      }
      await client.pause(dice.between(0, dice.pick([1_000, 20_000])));
    }
  };
}

async function transact(
  client: Client,
  auditor: Auditor,
  scenario: Scenario,
  uid: string,
): Promise<void> {
  const { dice, rates } = client.world;
  const { name: topic } = dice.pick(scenario.topics.filter(({ volatile }) => !volatile));
  const body = utf8(`${uid} ${"x".repeat(dice.between(0, 400))}`);
  const id = dice.bytes(16);
  const seen: TransactionSeen = {
    ...{ uid, id, topic, begunAt: client.world.now, decided: undefined },
    ...{ commitAskedAt: Number.POSITIVE_INFINITY, endAskedAt: Number.POSITIVE_INFINITY },
    ...{ told: [], checks: [] },
  };
  auditor.transactions.set(hex(id), seen);
  const checksum = crc32c(body);
  auditor.sent.set(uid, { uid, topic, keys: [], checksum, group: undefined, attempts: [] });
  const delay = dice.chance(0.15) ? { delayMs: dice.between(0, 5_000) } : {};
  const message = { body, ...(dice.chance(0.3) ? { messageGroup: "g" } : {}), ...delay };
  // Fixed when the first attempt leaves, which may be after a quiet spell.
  let firstAttemptAt: number | undefined;
  const error = dice.between(-rates.clockErrorMs, rates.clockErrorMs);
  const request = () => {
    firstAttemptAt ??= client.world.now + error;
    return { topic, message, producerGroup: producers, batchId: id, firstAttemptAt };
  };
  for (let attempt = 1; ; attempt++) {
    const reply = await client.call(
      "prepare",
      (broker, io) => broker.transactions.prepare(io, request()),
      { repeatable: true },
    );
    if (reply.outcome === "ok") break;
    if (attempt === 4 || client.done) return;
    await client.pause(dice.between(0, 2_000));
  }
  // Gone before it decided, or before it said so.
  if (dice.chance(0.2)) return;
  await client.pause(dice.between(0, dice.pick([10, 10_000, 60_000])));
  seen.decided ??= dice.chance(0.65) ? "commit" : "rollback";
  if (dice.chance(0.2)) return;
  if (dice.chance(0.1)) {
    seen.isContested = true;
    await Promise.all(
      (["commit", "rollback"] as const).map((verb) => end(client, auditor, seen, verb)),
    );
    return;
  }
  for (let attempt = 1; attempt <= 4 && !client.done; attempt++) {
    if ((await end(client, auditor, seen, seen.decided)) && !dice.chance(0.1)) return;
    await client.pause(dice.between(0, 3_000));
  }
}

/** Asks once. Answers whether that was answered. */
async function end(
  client: Client,
  auditor: Auditor,
  seen: TransactionSeen,
  verb: "commit" | "rollback",
): Promise<boolean> {
  const { uid, id, topic, told } = seen;
  const startedAt = client.world.now;
  const attempt: SendAttempt = { startedAt, outcome: "unknown" };
  seen.endAskedAt = Math.min(seen.endAskedAt, startedAt);
  if (verb === "commit") {
    seen.commitAskedAt = Math.min(seen.commitAskedAt, startedAt);
    auditor.sent.get(uid)?.attempts.push(attempt);
  }
  const reply = await client.call(
    `${verb} transaction`,
    (broker, io) => broker.transactions[verb](io, id),
    { repeatable: true },
  );
  const by = client.name;
  if (reply.outcome === "ok") {
    const { state, queue } = reply.value;
    const place = placeOf(reply.value);
    told.push({ by, state, place });
    const isPlaced = verb === "commit" && "offset" in reply.value;
    if (isPlaced) {
      const { offset, messageId } = reply.value as Transaction & { readonly offset: number };
      const endedAt = client.world.now;
      Object.assign(attempt, { outcome: "acknowledged", queue, offset, endedAt, messageId });
    }
    return true;
  }
  if (reply.outcome !== "refused" || reply.error.code !== "transaction_ended") return false;
  const { state, queue, offset } = reply.error.details as {
    readonly state: TransactionSeen["told"][number]["state"];
    readonly queue: number;
    readonly offset?: number;
  };
  const place = offset === undefined ? undefined : `${topic}/${queue}@${offset}`;
  told.push({ by, state, place });
  return true;
}

function placeOf(transaction: Transaction): string | undefined {
  if (!("offset" in transaction)) return undefined;
  return `${transaction.topic}/${transaction.queue}@${transaction.offset}`;
}
