import { hex, utf8 } from "../bytes.ts";
import { jitter } from "../chance.ts";
import { isBrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { decodeBatch } from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import type { Message } from "../log/message.ts";
import { Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { WebhookAnswer } from "../ports/webhooks.ts";
import { type CheckSlot, wakeForChecks } from "./check-alarm.ts";
import { type Check, type Checks, countCheck, forgetCheck, nextCheckAt } from "./checks.ts";
import type { CheckWebhook, ProducerGroups } from "./producer-groups.ts";
import type { Transactions } from "./transactions.ts";
import { signedHeaders } from "./webhook-signature.ts";

/** Others store halves that are due in a slot that is being walked: so often it is looked at (ms). */
const lookEveryMs = 1_000;
/** So many checks of a group are under way at once in a process, of so many bytes. */
const atOnceMax = limits.checksAtOnceMax;
const bytesAtOnceMax = 1_048_576;
/** Where nobody answers it is asked again after so long, twice as long each time (ms). */
const firstPauseMs = 500;
const pauseMsMax = 8_000;

type Outcome = "commit" | "rollback" | "unknown";

interface Parts {
  readonly log: Log;
  readonly checks: Checks;
  readonly producerGroups: ProducerGroups;
  readonly transactions: Transactions;
}

interface WalkOptions {
  readonly until: number;
  readonly signal?: AbortSignal;
  readonly onError: (error: unknown) => void;
}

/** What is under way in one round or walk. */
interface Asking extends WalkOptions {
  readonly underWay: Set<Promise<void>>;
}

/**
 * Asks webhooks what became of halves. A check is leased as a poll leases it, so several brokers do not ask at once, and
 * what is answered is done as if the answerer had asked for it.
 */
export class WebhookChecks {
  /** How a message is told. Whoever composes a broker says so, for only the API knows JSON. */
  describe: (message: Message, place: { queue: number; messageId: string }) => object = () => {
    throw new Error("nobody said how a message is told");
  };
  /** Hears what fails in a sweep; alarms bring a listener of their own. */
  onError: (error: unknown) => void = () => {};
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Asks about the checks of a slot as they get due, and has somebody woken for the next one. */
  async walk(io: Ports, slot: CheckSlot, options: WalkOptions): Promise<void> {
    const { producerGroup } = slot;
    const { signal, onError } = options;
    const endsAt = Math.min(slot.endsAt, options.until);
    const asking: Asking = { ...options, underWay: new Set() };
    for (;;) {
      let nextAt: number | undefined;
      try {
        if (!(await this.#beginDue(io, producerGroup, asking))) break;
        nextAt = await nextCheckAt(io, producerGroup);
      } catch (error) {
        onError(error);
      }
      const now = io.clock.now();
      if (now >= endsAt || signal?.aborted) break;
      // Where as many are under way as may be, one has to end first.
      const isFull = nextAt !== undefined && nextAt <= now;
      const sleepMs = Math.min(isFull ? lookEveryMs : (nextAt ?? endsAt) - now, lookEveryMs);
      const slept = io.clock.sleep(Math.max(1, Math.min(sleepMs, endsAt - now)), signal);
      await Promise.race(isFull ? [slept, ...asking.underWay] : [slept]);
    }
    // Before what is under way ends: the next one is not to wait for it.
    const next = await nextCheckAt(io, producerGroup);
    if (next !== undefined) await wakeForChecks(io, producerGroup, Math.max(next, io.clock.now()));
    await Promise.all(asking.underWay);
  }

  /** Asks about what is due at this instant. */
  async askDue(io: Ports, producerGroup: string, until: number): Promise<void> {
    const asking: Asking = { until, underWay: new Set(), onError: this.onError };
    await this.#beginDue(io, producerGroup, asking);
    await Promise.all(asking.underWay);
  }

  /** Whether the group has a webhook. */
  async #beginDue(io: Ports, producerGroup: string, asking: Asking): Promise<boolean> {
    const { checks, producerGroups } = this.#parts;
    const { webhook } = await producerGroups.get(io, producerGroup);
    if (webhook === undefined) return false;
    const max = atOnceMax - asking.underWay.size;
    if (max <= 0) return true;
    const taking = { max, bytesMax: bytesAtOnceMax, isCounted: false };
    for (const check of await checks.takeDue(io, producerGroup, taking)) {
      const asked: Promise<void> = this.#settle(io, webhook, check, asking)
        .catch(asking.onError)
        .finally(() => asking.underWay.delete(asked));
      asking.underWay.add(asked);
    }
    return true;
  }

  async #settle(io: Ports, webhook: CheckWebhook, check: Check, asking: Asking): Promise<void> {
    const outcome = await this.#ask(io, webhook, check, asking);
    // As where nobody polls: who is not there is not counted.
    if (outcome === undefined) return;
    if (outcome === "unknown") return countCheck(io, check);
    try {
      await this.#parts.transactions[outcome](io, check.id);
    } catch (error) {
      if (!isBrokerError(error) || error.effects === "unknown") throw error;
      // Its topic is gone, or others were always faster.
      if (error.code !== "transaction_ended") return countCheck(io, check);
    }
    await forgetCheck(io, check);
  }

  /** `undefined`: nobody answered while the check was his who asks. */
  async #ask(
    io: Ports,
    webhook: CheckWebhook,
    check: Check,
    { until, signal, onError }: Asking,
  ): Promise<Outcome | undefined> {
    const { lease } = check;
    const body = await this.#bodyOf(io, check);
    let unanswered: Unavailable | undefined;
    const endsAt = Math.min(until, lease.until, io.clock.now() + limits.webhookRetryMsMax);
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, pauseMsMax)) {
      const leftMs = endsAt - io.clock.now();
      if (leftMs <= 0 || signal?.aborted) {
        // Once a check, not once an attempt: whoever runs the broker may see to it.
        if (unanswered !== undefined) onError(unanswered);
        return undefined;
      }
      try {
        const headers = signedHeaders(io, webhook, `check_${lease.put.version}`, body);
        const answer = await io.webhooks.post(webhook.url, headers, body, {
          timeoutMs: Math.min(leftMs, limits.webhookMsMax),
          answerBytesMax: limits.webhookAnswerBytesMax,
        });
        if (!isPassing(answer)) return outcomeIn(answer);
      } catch (error) {
        if (!(error instanceof Unavailable)) {
          onError(error);
          return undefined;
        }
        unanswered = error;
      }
      await io.clock.sleep(pauseMs + jitter(io.random, pauseMs), signal);
    }
  }

  async #bodyOf(io: Ports, { id, transaction, batch, check }: Check): Promise<Uint8Array> {
    const { topic, queue, messageId } = transaction;
    const whole = await this.#parts.log.withContent(io, batch);
    const [message] = await decodeBatch(whole, io.compression);
    const told = message && this.describe(message, { queue, messageId });
    return utf8(JSON.stringify({ transactionId: hex(id), topic, message: told, check }));
  }
}

/** Whoever answers so may answer otherwise in a moment. */
function isPassing({ status }: WebhookAnswer): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Whatever is not an outcome means that it is not known yet. */
function outcomeIn({ status, body }: WebhookAnswer): Outcome {
  if (status < 200 || status > 299 || body === undefined) return "unknown";
  try {
    const { outcome } = JSON.parse(new TextDecoder().decode(body)) as { outcome?: unknown };
    return outcome === "commit" || outcome === "rollback" ? outcome : "unknown";
  } catch {
    return "unknown";
  }
}
