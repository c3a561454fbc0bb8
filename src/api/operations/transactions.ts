import * as z from "zod";
import { fromHex, hex } from "../../broker/bytes.ts";
import { limits } from "../../broker/limits.ts";
import { decodeBatch } from "../../broker/log/batch.ts";
import { recallHandleOf } from "../../broker/timers/recall-handle.ts";
import { wakeForChecks } from "../../broker/transactions/check-alarm.ts";
import type { ProducerGroup } from "../../broker/transactions/producer-groups.ts";
import {
  type Transaction,
  transactionIdChars,
  transactionStates,
} from "../../broker/transactions/transaction.ts";
import { listTransactions as transactionsOf } from "../../broker/transactions/transaction-list.ts";
import { timerIdOf, transactionNotFound } from "../../broker/transactions/transactions.ts";
import { shownSecret } from "../../broker/transactions/webhook-signature.ts";
import { fromJson, preparedToJson } from "../message-json.ts";
import { defineOperation } from "../operation.ts";
import {
  batchId,
  instant,
  messageIn,
  messageOut,
  name,
  numberText,
  topicParams,
} from "../schemas.ts";

const transactionParams = z.strictObject({ transactionId: z.string() });
const producerGroup = name(limits.groupNameCharsMax);
const groupParams = z.strictObject({ group: producerGroup });

const outcome = z.object({
  transactionId: z.string(),
  state: z.enum(transactionStates),
  topic: z.string(),
  queue: z.int(),
  offset: z.int().optional(),
  deliverAt: z.int().optional(),
  recallHandle: z.string().optional(),
});

const seen = outcome.extend({
  messageId: z.string(),
  producerGroup: z.string(),
  preparedAt: z.int(),
  endedAt: z.int().optional(),
});

export const prepare = defineOperation({
  name: "prepare",
  method: "POST",
  path: "/v1/topics/{topic}/transactions",
  summary:
    "Stores a message that nobody sees until it is committed. Its producer group is asked about it while it is open.",
  right: "transact",
  uses: ["readStore", "writeStore", "writeBlobs", "setAlarms"],
  params: topicParams,
  body: z.strictObject({
    message: messageIn,
    producerGroup,
    checkAfterMs: z.int().min(limits.checkAfterMsMin).max(limits.checkAfterMsMax).optional(),
    batchId: batchId.optional(),
    firstAttemptAt: instant.optional(),
  }),
  answers: { 200: z.object({ transactionId: z.string(), messageId: z.string() }) },
  errors: [
    "topic_not_found",
    "queue_not_found",
    "topic_not_writable",
    "type_mismatch",
    "message_too_large",
    "clock_skew",
    "retry_window_passed",
    "idempotency_key_reused",
    "contention",
    "outcome_unknown",
  ],
  async run({ broker, io }, { params, body }) {
    const { batchId: uuid, firstAttemptAt, checkAfterMs } = body;
    const { id, transaction } = await broker.transactions.prepare(io, {
      topic: params.topic,
      message: fromJson(body.message, "message"),
      producerGroup: body.producerGroup,
      ...(checkAfterMs === undefined ? {} : { checkAfterMs }),
      ...(uuid === undefined ? {} : { batchId: fromHex(uuid.replaceAll("-", "")) }),
      ...(firstAttemptAt === undefined ? {} : { firstAttemptAt }),
    });
    const { messageId } = transaction;
    return { status: 200, json: { transactionId: hex(id), messageId } };
  },
});

export const commitTransaction = defineOperation({
  name: "commitTransaction",
  method: "POST",
  path: "/v1/transactions/{transactionId}/commit",
  summary:
    "Makes the message of a transaction visible, or has it wait for its time. Again is fine; after a rollback it is 409.",
  right: "transact",
  uses: ["readStore", "writeStore", "setAlarms"],
  params: transactionParams,
  answers: { 200: outcome },
  errors: [
    "transaction_not_found",
    "topic_not_found",
    "transaction_ended",
    "contention",
    "outcome_unknown",
  ],
  async run({ broker, io }, { params }) {
    const id = idIn(params);
    return {
      status: 200,
      json: outcomeOf(id, await broker.transactions.commit(io, id)),
    };
  },
});

export const rollBackTransaction = defineOperation({
  name: "rollBackTransaction",
  method: "POST",
  path: "/v1/transactions/{transactionId}/rollback",
  summary:
    "Has the message of a transaction never be visible. Again is fine; after a commit it is 409.",
  right: "transact",
  uses: ["readStore", "writeStore"],
  params: transactionParams,
  answers: { 200: outcome },
  errors: ["transaction_not_found", "transaction_ended", "outcome_unknown"],
  async run({ broker, io }, { params }) {
    const id = idIn(params);
    return {
      status: 200,
      json: outcomeOf(id, await broker.transactions.rollback(io, id)),
    };
  },
});

export const lookAtTransaction = defineOperation({
  name: "lookAtTransaction",
  method: "GET",
  path: "/v1/transactions/{transactionId}",
  summary: "What became of a transaction: until a week after it ended.",
  right: "transact",
  uses: ["readStore"],
  params: transactionParams,
  answers: { 200: seen },
  errors: ["transaction_not_found"],
  async run({ broker, io }, { params }) {
    const id = idIn(params);
    return { status: 200, json: told(id, await broker.transactions.look(io, id)) };
  },
});

export const takeChecks = defineOperation({
  name: "takeChecks",
  method: "POST",
  path: "/v1/producer-groups/{group}/checks",
  summary:
    "Half messages whose producer has to say what became of them. Each is the caller's alone until its next check is due.",
  right: "transact",
  uses: ["readStore", "writeStore", "readBlobs"],
  params: groupParams,
  body: z
    .strictObject({
      max: z.int().min(1).max(limits.checksAtOnceMax).optional(),
      waitMs: z.int().min(0).max(limits.waitMsMax).optional(),
    })
    .optional(),
  answers: {
    200: z.object({
      checks: z.array(
        z.object({
          transactionId: z.string(),
          topic: z.string(),
          message: messageOut.omit({ topic: true, offset: true, storedAt: true }),
          check: z.int(),
        }),
      ),
    }),
  },
  errors: [],
  async run({ broker, io }, { params, body }) {
    const { max = limits.checksAtOnceMax, waitMs = 0 } = body ?? {};
    const isOver = () => broker.log.arrivals.closed;
    const taken = await broker.checks.take(io, params.group, { max, waitMs, isOver });
    const checks = taken.map(async ({ id, transaction, batch, check }) => {
      const { topic, queue, messageId } = transaction;
      const whole = await broker.log.withContent(io, batch);
      const [message] = await decodeBatch(whole, io.compression);
      const shown = message && preparedToJson(message, { queue, messageId });
      return { transactionId: hex(id), topic, message: shown, check };
    });
    return { status: 200, json: { checks: await Promise.all(checks) } };
  },
});

export const listTransactions = defineOperation({
  name: "listTransactions",
  method: "GET",
  path: "/v1/transactions",
  summary:
    "Transactions, of a state or a producer group or all, in pages. A page may hold none and yet have a nextCursor.",
  right: "pull",
  uses: ["readStore"],
  query: z.strictObject({
    state: z.enum(transactionStates).optional(),
    producerGroup: producerGroup.optional(),
    limit: numberText(1, 1_000).optional(),
    cursor: z
      .string()
      .regex(/^(?:[0-9a-f]{2}){1,17}$/, { error: "a nextCursor that was answered" })
      .optional(),
  }),
  answers: {
    200: z.object({
      transactions: z.array(seen),
      damaged: z.array(z.string()).optional(),
      nextCursor: z.string().optional(),
    }),
  },
  errors: [],
  async run({ io }, { query: { cursor, limit = 100, state, producerGroup: group } }) {
    const { found, damaged, next } = await transactionsOf(io, {
      limit,
      ...(state === undefined ? {} : { state }),
      ...(group === undefined ? {} : { producerGroup: group }),
      ...(cursor === undefined ? {} : { from: fromHex(cursor) }),
    });
    return {
      status: 200,
      json: {
        transactions: found.map(({ id, transaction }) => told(id, transaction)),
        ...(damaged.length === 0 ? {} : { damaged: damaged.map(hex) }),
        nextCursor: next && hex(next),
      },
    };
  },
});

export const reviveTransaction = defineOperation({
  name: "reviveTransaction",
  method: "POST",
  path: "/v1/transactions/{transactionId}/revive",
  summary:
    "Opens a transaction again that was discarded: its producer is asked at once. Again is fine.",
  right: "admin",
  uses: ["readStore", "writeStore", "setAlarms"],
  params: transactionParams,
  answers: { 200: outcome },
  errors: ["transaction_not_found", "transaction_ended", "outcome_unknown"],
  async run({ broker, io }, { params }) {
    const id = idIn(params);
    return {
      status: 200,
      json: outcomeOf(id, await broker.transactions.revive(io, id)),
    };
  },
});

const groupAnswer = z.object({
  producerGroup: z.string(),
  checkEveryMs: z.int(),
  checksMax: z.int(),
  checkUrl: z.string().optional(),
});

const checkUrl = z.string().max(limits.checkUrlCharsMax, {
  error: `an https URL of at most ${limits.checkUrlCharsMax} characters, or null`,
});

export const changeProducerGroup = defineOperation({
  name: "changeProducerGroup",
  method: "PUT",
  path: "/v1/producer-groups/{group}",
  summary:
    "How the half messages of a producer group are checked back. Absent fields stay. Due checks are also POSTed to the checkUrl, as takeChecks answers them one by one; it answers {outcome: commit, rollback or unknown}, and anything else is unknown. They are signed as Standard Webhooks says by the checkSecret, which is told when the URL is set or the secret rotated, and never again. null removes both.",
  right: "admin",
  uses: ["readStore", "writeStore", "setAlarms"],
  params: groupParams,
  body: z.strictObject({
    checkEveryMs: z.int().min(limits.checkEveryMsMin).max(limits.checkEveryMsMax).optional(),
    checksMax: z.int().min(1).max(limits.checksMaxMax).optional(),
    checkUrl: checkUrl.nullable().optional(),
    rotateCheckSecret: z.boolean().optional(),
  }),
  answers: { 200: groupAnswer.extend({ checkSecret: z.string().optional() }) },
  errors: ["contention", "outcome_unknown"],
  async run({ broker, io }, { params, body }) {
    const { checkEveryMs, checksMax, checkUrl: url, rotateCheckSecret: rotates } = body;
    if (typeof url === "string") await io.webhooks.expectAllowed(url, "checkUrl");
    const { group, minted } = await broker.producerGroups.change(io, params.group, {
      ...(checkEveryMs === undefined ? {} : { checkEveryMs }),
      ...(checksMax === undefined ? {} : { checksMax }),
      webhook: {
        ...(url === undefined ? {} : { url }),
        ...(rotates === undefined ? {} : { rotates }),
      },
    });
    // Halves that are open already are asked about from now on.
    if (typeof url === "string") await wakeForChecks(io, params.group, io.clock.now());
    const checkSecret = minted === undefined ? {} : { checkSecret: shownSecret(minted) };
    return { status: 200, json: { ...shownGroup(params.group, group), ...checkSecret } };
  },
});

export const getProducerGroup = defineOperation({
  name: "getProducerGroup",
  method: "GET",
  path: "/v1/producer-groups/{group}",
  summary: "How the half messages of a producer group are checked back.",
  right: "pull",
  uses: ["readStore"],
  params: groupParams,
  answers: { 200: groupAnswer },
  errors: [],
  async run({ broker, io }, { params: { group } }) {
    return {
      status: 200,
      json: shownGroup(group, await broker.producerGroups.get(io, group)),
    };
  },
});

/** Without its secret. */
function shownGroup(
  group: string,
  { checkEveryMs, checksMax, webhook }: ProducerGroup,
): z.output<typeof groupAnswer> {
  const url = webhook === undefined ? {} : { checkUrl: webhook.url };
  return { producerGroup: group, checkEveryMs, checksMax, ...url };
}

const idPattern = new RegExp(`^[0-9a-f]{${transactionIdChars}}$`);

function idIn({ transactionId }: z.output<typeof transactionParams>): Uint8Array {
  if (!idPattern.test(transactionId)) throw transactionNotFound();
  return fromHex(transactionId);
}

function outcomeOf(id: Uint8Array, transaction: Transaction): z.output<typeof outcome> {
  const { state, topic, queue } = transaction;
  const base = { transactionId: hex(id), state, topic, queue };
  if ("offset" in transaction) return { ...base, offset: transaction.offset };
  if (!("deliverAt" in transaction)) return base;
  const { deliverAt } = transaction;
  const recallHandle = recallHandleOf({ dueAt: deliverAt, id: timerIdOf(id, transaction) });
  return { ...base, deliverAt, recallHandle };
}

function told(id: Uint8Array, transaction: Transaction): z.output<typeof seen> {
  const { messageId, producerGroup: group, preparedAt } = transaction;
  const endedAt = "endedAt" in transaction ? { endedAt: transaction.endedAt } : {};
  const facts = { messageId, producerGroup: group, preparedAt, ...endedAt };
  return { ...outcomeOf(id, transaction), ...facts };
}
