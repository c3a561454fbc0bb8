import { gzipSync } from "node:zlib";
import { utf8, writeU16, writeU32 } from "../../../src/broker/bytes.ts";
import { crc32c } from "../../../src/broker/crc32c.ts";
import { isBrokerError } from "../../../src/broker/errors.ts";
import {
  batchChecksumAt,
  batchChecksummedFrom,
  batchHeadBytes,
  encodeBatch,
} from "../../../src/broker/log/batch.ts";
import type { Message } from "../../../src/broker/log/message.ts";
import { sendBatch } from "../../../src/broker/sending/send-batch.ts";
import { type SendResult, sendMessages } from "../../../src/broker/sending/send-messages.ts";
import type { Auditor, SendAttempt, SentMessage } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Reply } from "../cluster.ts";
import type { Scenario } from "../scenario.ts";

interface Outgoing {
  readonly message: SentMessage;
  readonly body: Uint8Array;
  readonly group: string | undefined;
  readonly queue: number | undefined;
}

/** What a send answered for each message: its place, or why not. */
type Result = { queue: number; offset: number; messageId: string } | "refused" | "unknown";

/** Sends for ever: alone and in batches, as JSON and binary, in groups and not; tries again what it was not told. */
export function producer(auditor: Auditor, scenario: Scenario) {
  let batches = 0;
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      await sendOne(client, auditor, scenario, ++batches);
      await client.pause(client.world.dice.between(0, scenario.thinkMs));
    }
  };
}

async function sendOne(
  client: Client,
  auditor: Auditor,
  scenario: Scenario,
  number: number,
): Promise<void> {
  const { dice } = client.world;
  const topic = dice.pick(scenario.topics);
  const binary = dice.chance(0.4);
  const outgoing = Array.from({ length: dice.chance(0.6) ? 1 : dice.between(2, 6) }, (_, index) =>
    draft(client, auditor, {
      topic: topic.name,
      queues: topic.queues,
      uid: `${client.name}-${number}-${index}`,
      binary,
    }),
  );
  const id = dice.chance(0.75) ? dice.bytes(16) : undefined;
  // What a client knows of broker time is as good as the clock of a broker.
  const firstAttemptAt =
    client.world.now +
    dice.between(-client.world.rates.clockErrorMs, client.world.rates.clockErrorMs);
  const send = binary
    ? binarySend(topic.name, outgoing, {
        id: id ?? dice.bytes(16),
        firstAttemptAt: id === undefined ? 0 : firstAttemptAt,
        compressed: dice.chance(0.2),
      })
    : jsonSend(topic.name, outgoing, id === undefined ? {} : { batchId: id, firstAttemptAt });
  const attemptsMax = id === undefined ? 1 : 5;
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const startedAt = client.world.now;
    const attempts = outgoing.map(({ message }): SendAttempt => {
      const made: SendAttempt = { startedAt, outcome: "unknown" };
      message.attempts.push(made);
      return made;
    });
    client.world.note(
      () =>
        `${client.name} attempt ${attempt}: ${outgoing.map(({ message }) => message.uid).join(" ")}`,
    );
    const reply = await client.call(binary ? "sendBatch" : "send", send, {
      repeatable: id !== undefined,
    });
    client.world.note(
      () =>
        `${client.name} told: ${outgoing.map(({ message }, i) => `${message.uid} ${JSON.stringify(resultsOf(reply, outgoing.length)[i])}`).join(" ")}`,
    );
    const decided = record(attempts, resultsOf(reply, outgoing.length), client.world.now);
    for (const made of attempts) made.repeated = reply.repeated === true;
    if (decided || client.done) return;
    await client.pause(dice.between(0, dice.pick([20, 5_000])));
  }
}

/** Groups belong to one producer, which waits for each message before it sends the next: only then is there an order to keep. */
function draft(
  client: Client,
  auditor: Auditor,
  { topic, queues, uid, binary }: { topic: string; queues: number; uid: string; binary: boolean },
): Outgoing {
  const { dice } = client.world;
  const group = !binary && dice.chance(0.3) ? `${client.name}-g${dice.between(0, 2)}` : undefined;
  const queue =
    group === undefined && !binary && dice.chance(0.3) ? dice.between(0, queues - 1) : undefined;
  const padding = dice.chance(0.02) ? dice.between(20_000, 60_000) : dice.between(0, 200);
  const body = utf8(`${uid} ${"x".repeat(padding)}`);
  const message: SentMessage = {
    uid,
    topic,
    keys: ["k", `k${dice.between(0, 9)}`],
    checksum: crc32c(body),
    group: group === undefined ? undefined : `${topic}/${group}`,
    attempts: [],
  };
  auditor.sent.set(uid, message);
  return { message, group, queue, body };
}

type Send = (
  broker: Parameters<typeof sendMessages>[1],
  io: Parameters<typeof sendMessages>[0],
) => Promise<Result[]>;

function jsonSend(
  topic: string,
  outgoing: readonly Outgoing[],
  once: { batchId?: Uint8Array; firstAttemptAt?: number },
): Send {
  const messages = outgoing.map(({ message: { keys }, body, group, queue }) => ({
    body,
    tag: "t",
    keys,
    properties: { p: "v" },
    ...(group === undefined ? {} : { messageGroup: group }),
    ...(queue === undefined ? {} : { queue }),
  }));
  return async (broker, io) => {
    const results = await sendMessages(io, broker, { topic, messages, ...once });
    return results.map(resultOf);
  };
}

function resultOf(result: SendResult): Result {
  if ("error" in result) return effectsOf(result.error);
  if (!("offset" in result)) throw new Error("a message that nobody delayed waits");
  return result;
}

function binarySend(
  topic: string,
  outgoing: readonly Outgoing[],
  {
    id,
    firstAttemptAt,
    compressed,
  }: { id: Uint8Array; firstAttemptAt: number; compressed: boolean },
): Send {
  const bornAt = Math.max(firstAttemptAt, 1);
  const messages = outgoing.map(
    ({ body, message: { uid: messageId, keys } }): Message => ({
      body,
      bornAt: bornAt + 1,
      keys,
      messageId,
    }),
  );
  const plain = encodeBatch({ id, firstAttemptAt, bornAt, messages });
  const bytes = compressed ? gzipped(plain) : plain;
  return async (broker, io) => {
    const { queue, offset } = await sendBatch(io, broker, { topic, bytes });
    return outgoing.map(({ message }, index) => ({
      queue,
      offset: offset + index,
      messageId: message.uid,
    }));
  };
}

function gzipped(plain: Uint8Array): Uint8Array {
  const content = gzipSync(plain.subarray(batchHeadBytes));
  const bytes = new Uint8Array(batchHeadBytes + content.length);
  bytes.set(plain.subarray(0, batchHeadBytes));
  bytes.set(content, batchHeadBytes);
  writeU16(bytes, 6, 1);
  writeU32(bytes, 8, content.length);
  writeU32(bytes, batchChecksumAt, crc32c(bytes, batchChecksummedFrom));
  return bytes;
}

function resultsOf({ repeated = false, ...reply }: Reply<Result[]>, count: number): Result[] {
  const results =
    reply.outcome === "ok" ? reply.value : new Array<Result>(count).fill(reply.outcome);
  // Of a request that went twice, the other one may have done what this one was refused.
  return repeated ? results.map((result) => (result === "refused" ? "unknown" : result)) : results;
}

/** Whether nothing is left to try: every message has its place. A refusal is tried again like an unknown outcome. */
function record(
  attempts: readonly SendAttempt[],
  results: readonly Result[],
  now: number,
): boolean {
  attempts.forEach((attempt, index) => {
    const result = results[index] ?? "unknown";
    attempt.endedAt = now;
    if (typeof result === "string") attempt.outcome = result;
    else Object.assign(attempt, { outcome: "acknowledged", ...result });
  });
  return results.every((result) => typeof result === "object");
}

function effectsOf(error: unknown): "refused" | "unknown" {
  return isBrokerError(error) && error.effects === "none" ? "refused" : "unknown";
}
