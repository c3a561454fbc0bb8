import { utf8 } from "../../../src/broker/bytes.ts";
import { crc32c } from "../../../src/broker/crc32c.ts";
import { isBrokerError } from "../../../src/broker/errors.ts";
import { limits } from "../../../src/broker/limits.ts";
import {
  type OutgoingMessage,
  type SendResult,
  sendMessages,
} from "../../../src/broker/sending/send-messages.ts";
import type { Delay } from "../../../src/broker/timers/delay.ts";
import { readRecallHandle } from "../../../src/broker/timers/recall-handle.ts";
import { minuteOf, startOf, type TimerName } from "../../../src/broker/timers/timer.ts";
import type { Auditor, SendAttempt } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Reply } from "../cluster.ts";
import type { DelayedMessage } from "../delayed-message.ts";
import type { Dice } from "../dice.ts";
import type { Scenario, TopicPlan } from "../scenario.ts";
import { drawDelay } from "./draw-delay.ts";

/** What a send answered for a message: by which name it waits, or why not. */
type Result = TimerName | "refused" | "unknown";

/** Sends messages that are to wait, alone and several at once, and tries again what it was not told. */
export function delayer(auditor: Auditor, scenario: Scenario) {
  let sends = 0;
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      await sendOnce(client, auditor, scenario, ++sends);
      await client.pause(client.world.dice.between(0, 20 * scenario.thinkMs));
    }
  };
}

async function sendOnce(
  client: Client,
  auditor: Auditor,
  scenario: Scenario,
  number: number,
): Promise<void> {
  const { world } = client;
  const { dice } = world;
  const topic = dice.pick(scenario.topics);
  // At the end of a minute, where others may take it for over.
  const atTheEnd = dice.chance(0.25);
  if (atTheEnd)
    await client.pause(Math.max(0, msToNextMinute(world.now) - dice.between(10, 1_000)));
  const batchId = Uint8Array.of(...dice.bytes(15), dice.between(0, scenario.timerShards - 1));
  const clockErrorMs = dice.between(-world.rates.clockErrorMs, world.rates.clockErrorMs);
  const firstAttemptAt = world.now + clockErrorMs;
  const once = dice.chance(0.9) ? { batchId, firstAttemptAt } : {};
  // What a broker makes of a delay that counts from when it was asked.
  const countsFrom = firstAttemptAt + ("batchId" in once ? 0 : -2 * limits.clockErrorMsMax);
  // Often into a minute that was written into before, and may have been given up since.
  const before = [...auditor.delayed.values()].slice(-100);
  const again = before.length > 0 && dice.chance(0.3);
  const endsAt = world.now + msToNextMinute(world.now);
  const delay = atTheEnd
    ? { deliverAt: endsAt - dice.between(1, 500), ms: undefined }
    : again
      ? { deliverAt: dice.pick(before).dueAt + dice.between(0, 500), ms: undefined }
      : drawDelay(dice, world.now);
  const drafts = Array.from({ length: drawCount(dice) }, (_, index) =>
    draft(dice, auditor, {
      topic,
      uid: `${client.name}-${number}-${index}`,
      delay: dice.chance(0.1) ? drawDelay(dice, world.now) : delay,
      countsFrom,
      producer: client.name,
    }),
  );
  const messages = drafts.map(({ outgoing }) => outgoing);
  for (let attempt = 1; attempt <= ("batchId" in once ? 5 : 1); attempt++) {
    const attempts = drafts.map(({ message }): SendAttempt => {
      const made: SendAttempt = { startedAt: world.now, outcome: "unknown" };
      message.attempts.push(made);
      return made;
    });
    const reply = await client.call(
      "sendDelayed",
      async (broker, io) =>
        (await sendMessages(io, broker, { topic: topic.name, messages, ...once })).map(resultOf),
      { repeatable: "batchId" in once },
    );
    const results = resultsOf(reply, drafts.length);
    drafts.forEach(({ message: { uid, names } }, index) => {
      const result = results[index] ?? "unknown";
      const made = attempts[index] as SendAttempt;
      made.endedAt = world.now;
      made.repeated = reply.repeated === true;
      made.outcome = typeof result === "string" ? result : "waits";
      if (typeof result !== "string") names.push(result);
      world.note(() => `${client.name} told: ${uid} ${made.outcome}`);
    });
    if (results.every((result) => typeof result !== "string") || client.done) return;
    await client.pause(dice.between(0, dice.pick([20, 5_000, 60_000])));
  }
}

/** Now and then more than one commit takes. */
function drawCount(dice: Dice): number {
  return dice.pick([1, 1, 1, 1, 1, 1, 2, dice.between(2, 6), dice.between(2, 6), 50]);
}

function draft(
  dice: Dice,
  auditor: Auditor,
  {
    topic,
    uid,
    delay,
    countsFrom,
    producer,
  }: {
    readonly topic: TopicPlan;
    readonly uid: string;
    readonly delay: Delay & { readonly ms: number | undefined };
    readonly countsFrom: number;
    readonly producer: string;
  },
): { readonly message: DelayedMessage; readonly outgoing: OutgoingMessage } {
  const { ms, ...asked } = delay;
  const dueAt = asked.deliverAt ?? countsFrom + (ms ?? 0);
  const padding = dice.chance(0.02) ? dice.between(8_000, 20_000) : dice.between(0, 200);
  const body = utf8(`${uid} ${"x".repeat(padding)}`);
  const message: DelayedMessage = {
    uid,
    topic: topic.name,
    keys: [],
    checksum: crc32c(body),
    group: undefined,
    attempts: [],
    dueAt,
    names: [],
    recalls: [],
  };
  auditor.sent.set(uid, message);
  auditor.delayed.set(uid, message);
  const grouped = dice.chance(0.2) ? { messageGroup: `${producer}-g` } : {};
  return { message, outgoing: { body, messageId: uid, ...grouped, ...asked } };
}

function msToNextMinute(now: number): number {
  return startOf(minuteOf(now) + 1) - now;
}

function resultOf(result: SendResult): Result {
  if ("recallHandle" in result) return readRecallHandle(result.recallHandle);
  if (!("error" in result)) throw new Error("a delayed message was sent at once");
  return isBrokerError(result.error) && result.error.effects === "none" ? "refused" : "unknown";
}

function resultsOf({ repeated = false, ...reply }: Reply<Result[]>, count: number): Result[] {
  const results =
    reply.outcome === "ok" ? reply.value : new Array<Result>(count).fill(reply.outcome);
  // Of a request that went twice, the other one may have done what this one was refused.
  return repeated ? results.map((result) => (result === "refused" ? "unknown" : result)) : results;
}
