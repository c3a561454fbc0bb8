import { hex } from "../bytes.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import {
  type Batch,
  batchIdBytes,
  derivedMessageId,
  encodeBatch,
  readBatch,
} from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import type { Message } from "../log/message.ts";
import { keyReused, Superseded } from "../log/pending-append.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Write } from "../ports/store.ts";
import { keys } from "../schema.ts";
import { type OutgoingMessage, routedTo } from "../sending/outgoing-message.ts";
import { expectAccepted, expectFits, expectWithinRetryWindow } from "../sending/routing.ts";
import { timerId } from "../timers/timer.ts";
import type { Timers } from "../timers/timers.ts";
import type { Topics } from "../topics/topics.ts";
import { wakeIfAsked } from "./check-alarm.ts";
import { checkDelete, checkPut } from "./check-entry.ts";
import { CheckWork, storedUntil } from "./check-work.ts";
import type { ProducerGroups } from "./producer-groups.ts";
import {
  type DelayAfterCommit,
  decodeTransaction,
  idOfMessage,
  preparedBatch,
  preparedPlace,
  preparedPut,
  type Transaction,
  turned,
} from "./transaction.ts";

export interface PrepareRequest {
  readonly topic: string;
  readonly message: OutgoingMessage;
  readonly producerGroup: string;
  /** When its producer is asked first what became of it (ms). */
  readonly checkAfterMs?: number;
  /** Both or neither: with them it is one transaction, however often it is prepared. */
  readonly batchId?: Uint8Array;
  readonly firstAttemptAt?: number;
}

/** A transaction under its id. */
export interface NamedTransaction {
  readonly id: Uint8Array;
  readonly transaction: Transaction;
}

/** A message as it is to be prepared. */
interface Draft {
  readonly transaction: Transaction;
  readonly batch: Batch;
  readonly message: Message;
  /** Whether its sender said when it was born. */
  readonly saysBornAt: boolean;
}

/**
 * Messages that are stored without being visible until their sender says what is to become of them. The row of a
 * transaction is turned once, under its version; a commit turns it in the commit of the store in which the message lands.
 */
export class Transactions {
  readonly #topics: Topics;
  readonly #log: Log;
  readonly #timers: Timers;
  readonly #groups: ProducerGroups;
  readonly #work = new CheckWork();

  constructor(topics: Topics, log: Log, timers: Timers, groups: ProducerGroups) {
    this.#topics = topics;
    this.#groups = groups;
    this.#log = log;
    this.#timers = timers;
  }

  /** Stores a half message. Prepared again it is the same transaction, whatever became of it since. */
  async prepare(io: Ports, request: PrepareRequest): Promise<NamedTransaction> {
    const { producerGroup, batchId } = request;
    const id = await this.#idOf(io, request);
    const draft = await this.#draft(io, id, request);
    expectFits(draft.batch.bytes.length, "message", 1);
    const key = keys.transaction(id);
    if (batchId !== undefined || request.message.messageId !== undefined) {
      // Before its large body is put: a retry would leave one that nobody points to.
      const known = draft.batch.bytes.length > this.#log.settings.inlineBatchBytesMax;
      const [item] = known ? await io.store.get([key]) : [];
      if (item !== undefined) return { id, transaction: sameOrRefused(id, draft, item) };
    }
    const batch = await this.#placed(io, draft);
    const { checkAt, preparedAt } = draft.transaction;
    const check = { producerGroup, dueAt: checkAt, id };
    const work = this.#work.writesFor(io, producerGroup, checkAt);
    const result = await commitUntilDecided(
      io,
      [
        preparedPut(io, key, draft.transaction, batch),
        checkPut(io, check, { checks: 0, preparedAt }),
        ...work,
      ],
      storedUntil(io, checkAt),
    );
    if (result.outcome === "applied") {
      this.#work.wrote(producerGroup, checkAt);
      if (work.length > 0) await wakeIfAsked(io, this.#groups, producerGroup, checkAt);
      return { id, transaction: draft.transaction };
    }
    const [item] = result.current;
    if (item === undefined) throw new BrokerError("contention", "it was just removed", {});
    return { id, transaction: sameOrRefused(id, draft, item) };
  }

  /** Makes the message visible, or has it wait for its time. Again is fine. */
  async commit(io: Ports, id: Uint8Array): Promise<Transaction> {
    for (;;) {
      const { item, transaction } = await this.#read(io, id);
      if (transaction.state === "COMMITTED") return transaction;
      if (transaction.state !== "PREPARED") throw ended(id, transaction);
      try {
        return await this.#makeVisible(io, id, item, transaction);
      } catch (error) {
        // Somebody else ended it; the row tells how.
        if (!(error instanceof Superseded)) throw error;
      }
    }
  }

  /** Has the message never be visible. Again is fine. */
  async rollback(io: Ports, id: Uint8Array): Promise<Transaction> {
    for (;;) {
      const { item, transaction } = await this.#read(io, id);
      if (transaction.state === "ROLLED_BACK") return transaction;
      if (transaction.state !== "PREPARED") throw ended(id, transaction);
      const endedAt = io.clock.now();
      const rolledBack: Transaction = { ...transaction, state: "ROLLED_BACK", endedAt };
      const writes = [turned(io, item, rolledBack), checkDelete(checkOf(id, transaction))];
      const { outcome } = await commitUntilDecided(io, writes, endedAt + limits.appendDeadlineMs);
      if (outcome === "applied") return rolledBack;
    }
  }

  /** Opens one again that was discarded. Its producer is asked at once. Again is fine. */
  async revive(io: Ports, id: Uint8Array): Promise<Transaction> {
    for (;;) {
      const { item, transaction } = await this.#read(io, id);
      if (transaction.state === "PREPARED") return transaction;
      const now = io.clock.now();
      const { producerGroup, preparedAt } = transaction;
      const isTooOld = now - preparedAt > limits.reviveAgeMsMax;
      if (transaction.state !== "DISCARDED" || isTooOld) throw ended(id, transaction);
      const { endedAt: _, ...open } = transaction;
      const revived: Transaction = { ...open, state: "PREPARED", checkAt: now };
      const { outcome } = await commitUntilDecided(
        io,
        [
          turned(io, item, revived),
          // Its age counts from here on, or it would be discarded at once.
          checkPut(io, { producerGroup, dueAt: now, id }, { checks: 0, preparedAt: now }),
          ...this.#work.writesFor(io, producerGroup, now),
        ],
        storedUntil(io, now),
      );
      if (outcome !== "applied") continue;
      this.#work.wrote(producerGroup, now);
      await wakeIfAsked(io, this.#groups, producerGroup, now);
      return revived;
    }
  }

  /** Throws `transaction_not_found`. */
  async look(io: Ports, id: Uint8Array): Promise<Transaction> {
    return (await this.#read(io, id)).transaction;
  }

  async #read(
    io: Ports,
    id: Uint8Array,
  ): Promise<{ readonly item: Item; readonly transaction: Transaction }> {
    const [item] = await io.store.get([keys.transaction(id)]);
    if (item === undefined) throw transactionNotFound();
    return { item, transaction: decodeTransaction(item) };
  }

  async #makeVisible(
    io: Ports,
    id: Uint8Array,
    item: Item,
    transaction: Transaction,
  ): Promise<Transaction> {
    const { topic: name, topicId, queue } = transaction;
    const topic = await this.#topics.get(io, name);
    if (topic.id !== topicId) {
      const message = `the topic ${name} that it was prepared for is gone`;
      throw new BrokerError("topic_not_found", message, { topic: name });
    }
    const batch = preparedBatch(item);
    const check = checkDelete(checkOf(id, transaction));
    const now = io.clock.now();
    const deliverAt = dueAtOf(transaction.delay, now);
    if (deliverAt !== undefined && deliverAt > now) {
      const waits = { ...transaction, state: "COMMITTED", endedAt: now, deliverAt } as const;
      const { messageId } = transaction;
      const timer = { topic: name, topicId, queue, messageId, batch };
      const timerName = { dueAt: deliverAt, id: timerIdOf(id, transaction) };
      const along: Write[] = [turned(io, item, waits), check];
      const until = now + limits.appendDeadlineMs;
      await this.#timers.put(io, [{ ...timer, ...timerName }], until, along);
      return waits;
    }
    let committed: Transaction | undefined;
    await this.#log.append(io, { topicId, queue }, batch, {
      retentionMs: topic.retentionMs,
      along: {
        keys: [item.key, check.key],
        writes: ({ base: offset, storedAt: endedAt }) => {
          committed = { ...transaction, state: "COMMITTED", endedAt, offset };
          return [turned(io, item, committed), check];
        },
      },
    });
    return committed ?? transaction;
  }

  async #idOf(io: Ports, request: PrepareRequest): Promise<Uint8Array> {
    const { batchId, firstAttemptAt, message, producerGroup } = request;
    if ((batchId === undefined) !== (firstAttemptAt === undefined)) {
      const given = batchId === undefined ? "absent" : "given";
      throw invalid("batchId", given, "given together with firstAttemptAt");
    }
    if (firstAttemptAt !== undefined) expectWithinRetryWindow(firstAttemptAt, io.clock.now());
    if (batchId !== undefined) return batchId;
    if (message.messageId === undefined) return io.random.bytes(batchIdBytes);
    const { id: topicId } = await this.#topics.get(io, request.topic);
    return idOfMessage(topicId, producerGroup, message.messageId);
  }

  async #draft(io: Ports, id: Uint8Array, request: PrepareRequest): Promise<Draft> {
    const { message: outgoing, producerGroup, firstAttemptAt } = request;
    const { checkAfterMs = limits.checkAfterMsDefault } = request;
    const now = io.clock.now();
    const bornAt = outgoing.bornAt ?? firstAttemptAt ?? now;
    const topic = await this.#topics.get(io, request.topic);
    const routed = routedTo(topic, outgoing, { id, bornAt, path: "message" });
    const { queue, dueAt } = routed;
    expectAccepted(topic, routed.message, "message", { isTransactional: true });
    const messageId = outgoing.messageId ?? derivedMessageId(id, queue, preparedPlace);
    const message = { ...routed.message, messageId };
    const batch = preparedBatchOf(id, message);
    const delay = delayOf(outgoing, dueAt, bornAt);
    const transaction: Transaction = {
      topic: topic.name,
      topicId: topic.id,
      queue,
      producerGroup,
      messageId,
      checksum: batch.checksum,
      bornAt,
      ...(delay === undefined ? {} : { delay }),
      preparedAt: now,
      checkAt: now + checkAfterMs,
      state: "PREPARED",
    };
    return { transaction, batch, message, saysBornAt: outgoing.bornAt !== undefined };
  }

  /** A large body is kept for as long as its transaction can be open or revived, and its message wait. */
  async #placed(io: Ports, { batch, transaction }: Draft): Promise<Batch> {
    const { retentionMs } = await this.#topics.get(io, transaction.topic);
    const { delay, preparedAt } = transaction;
    const waitMs = Math.max(0, (dueAtOf(delay, preparedAt) ?? 0) - preparedAt);
    const openMs = limits.reviveAgeMsMax + limits.halfOpenMsMax + limits.transactionKeptMs;
    const [placed] = await this.#log.place(io, [{ batch }], {
      retentionMs: retentionMs + waitMs + openMs,
    });
    return placed?.batch ?? batch;
  }
}

/** Its timer's id, where its message waits after the commit. */
export function timerIdOf(id: Uint8Array, { queue }: Pick<Transaction, "queue">): Uint8Array {
  return timerId(id, queue, preparedPlace);
}

/** For an id that was never given, or of what ended long ago. */
export function transactionNotFound(): BrokerError {
  return new BrokerError("transaction_not_found", "there is no transaction of this id", {
    field: "transactionId",
    allowed: "what a prepare answered, until a week after the transaction ended",
  });
}

function ended(id: Uint8Array, transaction: Transaction): BrokerError {
  const { state, topic, queue } = transaction;
  return new BrokerError("transaction_ended", `the transaction is ${state}`, {
    transactionId: hex(id),
    state,
    topic,
    queue,
    ...("offset" in transaction ? { offset: transaction.offset } : {}),
    ...("deliverAt" in transaction ? { deliverAt: transaction.deliverAt } : {}),
  });
}

function checkOf(id: Uint8Array, { producerGroup, checkAt: dueAt }: Transaction) {
  return { producerGroup, dueAt, id };
}

function preparedBatchOf(id: Uint8Array, message: Message): Batch {
  const { bornAt } = message;
  return readBatch(encodeBatch({ id, firstAttemptAt: 0, bornAt, messages: [message] }));
}

/** The clock of a length starts with the commit. */
function delayOf(
  { deliverAt }: OutgoingMessage,
  dueAt: number | undefined,
  bornAt: number,
): DelayAfterCommit | undefined {
  if (deliverAt !== undefined) return { deliverAt };
  return dueAt === undefined ? undefined : { delayMs: dueAt - bornAt };
}

function dueAtOf(delay: DelayAfterCommit | undefined, now: number): number | undefined {
  if (delay === undefined) return undefined;
  return "deliverAt" in delay ? delay.deliverAt : now + delay.delayMs;
}

/** What an earlier attempt prepared. When it was born does not tell them apart, where only the broker said so. */
function sameOrRefused(id: Uint8Array, draft: Draft, item: Item): Transaction {
  const { transaction, message, saysBornAt } = draft;
  const before = decodeTransaction(item);
  const bornAt = saysBornAt ? message.bornAt : before.bornAt;
  const { checksum } = preparedBatchOf(id, { ...message, bornAt });
  const sameTarget =
    before.topicId === transaction.topicId &&
    before.queue === transaction.queue &&
    before.producerGroup === transaction.producerGroup &&
    JSON.stringify(before.delay) === JSON.stringify(transaction.delay);
  if (!sameTarget || before.checksum !== checksum) throw keyReused();
  return before;
}
