import { type ErrorCode, errorTable } from "../../src/broker/errors.ts";
import type { Call, Reply } from "./http.ts";

/** What the producer of a message knows of it. */
export interface SentMessage {
  /** Stands at the front of the body, up to `|`, and in no other body. */
  readonly mark: string;
  readonly body: Buffer;
  readonly messageGroup: string | undefined;
  /**
   * - `open`: no answer yet, or none that decides; it may be there, once.
   * - `acknowledged`: it is there, at its place.
   * - `refused`: the answer said that nothing was done.
   */
  state: "open" | "acknowledged" | "refused";
  queue: number;
  offset: number;
  messageId: string | undefined;
}

/** One request to send, which may be attempted several times with the same bytes. */
export interface Sending {
  readonly topic: string;
  readonly call: Call;
  /** It has a batch id: attempts land once. */
  readonly retriable: boolean;
  readonly messages: readonly SentMessage[];
  /** When the first attempt was made, and when the first answer decided (ms of this process). */
  issuedAt: number;
  answeredAt: number;
  attempts: number;
  /** Some attempt had no answer, so that a later refusal decides nothing. */
  doubted: boolean;
}

export interface Sent {
  readonly sending: Sending;
  readonly message: SentMessage;
  /** Its place among the messages of the request. */
  readonly index: number;
}

interface Told {
  readonly queue: number;
  readonly offset: number;
  readonly messageId?: string;
  readonly error?: { readonly code: string };
}

interface SendAnswer {
  readonly results?: readonly Told[];
  readonly queue?: number;
  readonly offset?: number;
  readonly code?: string;
  readonly details?: { readonly results?: readonly Told[] };
}

/** Errors under which a caller is told the truth and no more; any other is a violation. */
export const expectedErrors: readonly string[] = ["unavailable", "outcome_unknown", "contention"];

/** What one process hands to another of its ledger. Times are those of the one that takes it. */
export type LedgerPages = Pick<
  Ledger,
  "sendings" | "violations" | "errors" | "unanswered" | "attempts"
>;

/** Everything that was sent, and what the broker said to it. */
export class Ledger {
  readonly sendings: Sending[] = [];
  readonly byMark = new Map<string, Sent>();
  readonly violations: string[] = [];
  readonly errors = new Map<string, number>();
  unanswered = 0;
  attempts = 0;
  /** Attempts that have neither an answer nor a failure yet. */
  inFlight = 0;
  #marks = 0;
  readonly #name: string;

  /** `name` tells its marks from those of other ledgers. */
  constructor(name = "m") {
    this.#name = name;
  }

  newMark(): string {
    return `${this.#name}${this.#marks++}`;
  }

  /** Takes over what another process has written down. */
  adopt({ sendings, violations, errors, unanswered, attempts }: LedgerPages): void {
    for (const sending of sendings) this.#add(sending);
    this.violations.push(...violations);
    for (const [code, count] of errors) this.errors.set(code, (this.errors.get(code) ?? 0) + count);
    this.unanswered += unanswered;
    this.attempts += attempts;
  }

  begin(sending: Sending): void {
    this.attempts++;
    this.inFlight++;
    if (sending.attempts++ > 0) return;
    sending.issuedAt = performance.now();
    this.#add(sending);
  }

  noAnswer(sending: Sending): void {
    this.unanswered++;
    this.inFlight--;
    sending.doubted = true;
  }

  answered(sending: Sending, reply: Reply): void {
    this.inFlight--;
    this.hear(sending, reply);
  }

  /** An answer that came to its producer, or that somebody between kept from him: all have to agree. */
  hear(sending: Sending, { status, body }: Reply): void {
    const answer = JSON.parse(body.toString()) as SendAnswer;
    const told = resultsOf(answer, sending);
    if (status !== 200 && told === undefined) this.#note(sending, answer.code ?? `${status}`);
    else for (const [i, result] of (told ?? []).entries()) this.#result(sending, i, result);
    if (sending.messages.every(({ state }) => state === "acknowledged"))
      sending.answeredAt = Math.min(sending.answeredAt, performance.now());
  }

  /** Sendings that may be attempted again and are not decided. */
  open(): Sending[] {
    return this.sendings.filter((sending) => sending.retriable && !isDecided(sending));
  }

  count(state: SentMessage["state"]): number {
    let count = 0;
    for (const { messages } of this.sendings)
      for (const message of messages) if (message.state === state) count++;
    return count;
  }

  #add(sending: Sending): void {
    this.sendings.push(sending);
    for (const [index, message] of sending.messages.entries())
      this.byMark.set(message.mark, { sending, message, index });
  }

  #result(sending: Sending, index: number, { error, ...place }: Told): void {
    if (error === undefined) this.#acknowledge(sending.messages[index], place);
    else this.#refuse(sending, error.code, sending.messages.slice(index, index + 1));
  }

  #note(sending: Sending, code: string): void {
    this.#refuse(sending, code, sending.messages);
  }

  #refuse(sending: Sending, code: string, messages: readonly SentMessage[]): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    if (!expectedErrors.includes(code)) this.violations.push(`a send was answered with ${code}`);
    const nothingDone = code in errorTable && errorTable[code as ErrorCode].effects === "none";
    if (!nothingDone) sending.doubted = true;
    if (!nothingDone || sending.doubted) return;
    for (const message of messages) if (message.state === "open") message.state = "refused";
  }

  #acknowledge(
    message: SentMessage | undefined,
    { queue, offset, messageId }: Omit<Told, "error">,
  ) {
    if (message === undefined) {
      this.violations.push("an answer has more results than its request had messages");
    } else if (message.state === "acknowledged") {
      if (message.queue !== queue || message.offset !== offset)
        this.violations.push(
          `${message.mark}: attempts disagree, ${message.queue}@${message.offset} and ${queue}@${offset}`,
        );
    } else {
      Object.assign(message, { state: "acknowledged", queue, offset, messageId });
    }
  }
}

export function isDecided({ messages }: Sending): boolean {
  return messages.every(({ state }) => state !== "open");
}

/** One place a message, from either form of answer; `undefined` for an error as a whole. */
function resultsOf(answer: SendAnswer, { messages }: Sending): readonly Told[] | undefined {
  const { queue, offset } = answer;
  if (queue === undefined || offset === undefined) return answer.results ?? answer.details?.results;
  return messages.map((_, i) => ({ queue, offset: offset + i }));
}
