import { once } from "node:events";
import {
  Agent,
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { seededRandom } from "../../src/adapters/faulty/faults.ts";
import { batchType } from "../../src/api/operation.ts";
import { readBatch } from "../../src/broker/log/batch.ts";
import { type Call, call, NoAnswer, type Reply } from "./http.ts";

export interface ProxyFaults {
  /** Of all attempts, so many replies are thrown away after the server gave them. */
  readonly droppedShare: number;
  /** Of first attempts, so many reach a server only after a retry of theirs was answered. */
  readonly heldBackShare: number;
  /** Of requests that are no batch with an id, so many replies are thrown away. @default 0 */
  readonly othersDroppedShare?: number;
}

const faultsDefault: ProxyFaults = { droppedShare: 0.3, heldBackShare: 0.1 };
/** So long at most a client waits until the connection of what is held back breaks. */
const silenceMsMax = 50;
/** So long at most after the answer to its retry a first attempt arrives. */
const lateMsMax = 1_000;

/** An answer of a server that its producer was not given. */
export interface KeptReply {
  readonly batchId: string;
  readonly reply: Reply;
}

/** What is known here of one batch. */
interface Passage {
  readonly batchId: string;
  attempts: number;
  /** The first attempt, as long as it is held back. */
  heldBack: Attempt | undefined;
  /** Which of the servers have answered with success. */
  readonly answeredBy: Set<number>;
}

interface Attempt {
  readonly call: Call;
  /** What befalls the attempt. */
  readonly dice: () => number;
}

/**
 * Stands between producers and several servers of one data folder, sends each attempt to any of them, loses replies,
 * and lets first attempts arrive after their retries. The dice of an attempt are cast from the batch's id, so the
 * same batches meet with the same whatever the timing.
 */
export class RetryProxy {
  url = "";
  /** Only what a server answered with success is counted: anything else says nothing about landing twice. */
  readonly seen = {
    ...{ firstsDropped: 0, retriesDropped: 0, heldBack: 0, answeredByAll: 0 },
    othersDropped: 0,
  };
  readonly keptReplies: KeptReply[] = [];
  readonly violations: string[] = [];
  readonly #servers: readonly string[];
  readonly #faults: ProxyFaults;
  readonly #http: Server;
  /** A connection for each request: one that is kept may be closed as it is used, which looks like a dead server. */
  readonly #agent = new Agent({ keepAlive: false });
  readonly #otherDice = seededRandom(0);
  readonly #passages = new Map<string, Passage>();
  readonly #late: Promise<void>[] = [];

  private constructor(servers: readonly string[], faults: ProxyFaults) {
    this.#servers = servers;
    this.#faults = faults;
    this.#http = createServer((request, response) => void this.#take(request, response));
  }

  static async listen(servers: readonly string[], faults = faultsDefault): Promise<RetryProxy> {
    const proxy = new RetryProxy(servers, faults);
    await once(proxy.#http.listen(0, "127.0.0.1"), "listening");
    proxy.url = `http://127.0.0.1:${(proxy.#http.address() as AddressInfo).port}`;
    return proxy;
  }

  /** Resolves when everything that was held back has arrived. Nobody may send any more. */
  async close(): Promise<void> {
    await Promise.all(this.#late);
    this.#http.close();
    this.#http.closeAllConnections();
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "", headers } = request;
    const type = headers["content-type"] ?? "";
    const body = await buffer(request);
    const wanted: Call =
      body.length === 0
        ? { method, path }
        : { method, path, headers: { "content-type": type }, body };
    const batchId = method === "POST" ? batchIdOf(wanted) : undefined;
    if (batchId === undefined) {
      await this.#takeOther(wanted, response);
      return;
    }
    const passage = this.#passageOf(batchId);
    const first = passage.attempts++ === 0;
    const attempt = { call: wanted, dice: diceOf(passage) };
    const fate = attempt.dice();
    if (first && fate < this.#faults.heldBackShare) {
      passage.heldBack = attempt;
      await pause(attempt.dice() * silenceMsMax);
      response.destroy();
      return;
    }
    const reply = await this.#forward(passage, attempt);
    if (reply === undefined) response.destroy();
    else if (fate > 1 - this.#faults.droppedShare) {
      this.#keep(passage, reply, first ? "firstsDropped" : "retriesDropped");
      response.destroy();
    } else this.#passOn(passage, reply, response);
  }

  /** What has no id to cast dice from goes to the first server. Where that was killed, the connection breaks. */
  async #takeOther(wanted: Call, response: ServerResponse): Promise<void> {
    const lost = this.#otherDice() < (this.#faults.othersDroppedShare ?? 0);
    try {
      const reply = await call(this.#agent, this.#servers[0] ?? "", wanted);
      if (lost) this.seen.othersDropped++;
      else return await answer(response, reply);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
    response.destroy();
  }

  #passageOf(batchId: string): Passage {
    const known = this.#passages.get(batchId);
    if (known !== undefined) return known;
    const passage = { batchId, attempts: 0, heldBack: undefined, answeredBy: new Set<number>() };
    this.#passages.set(batchId, passage);
    return passage;
  }

  /** `undefined`, and a violation, where no answer comes: nobody kills these servers. */
  async #forward(passage: Passage, { call: wanted, dice }: Attempt): Promise<Reply | undefined> {
    const server = Math.floor(dice() * this.#servers.length);
    try {
      const reply = await call(this.#agent, this.#servers[server] ?? "", wanted);
      if (reply.status === 200) this.#noteAnswer(passage, server);
      return reply;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.violations.push(`a server did not answer: ${error.message}`);
      return undefined;
    }
  }

  #noteAnswer({ answeredBy }: Passage, server: number): void {
    if (answeredBy.has(server)) return;
    answeredBy.add(server);
    if (answeredBy.size === this.#servers.length) this.seen.answeredByAll++;
  }

  #keep({ batchId }: Passage, reply: Reply, as: keyof typeof this.seen): void {
    this.keptReplies.push({ batchId, reply });
    if (reply.status === 200) this.seen[as]++;
  }

  #passOn(passage: Passage, reply: Reply, response: ServerResponse): void {
    const passed = answer(response, reply);
    const { heldBack } = passage;
    if (heldBack === undefined || reply.status !== 200) return;
    passage.heldBack = undefined;
    this.#late.push(passed.then(() => this.#deliverLate(passage, heldBack)));
  }

  async #deliverLate(passage: Passage, attempt: Attempt): Promise<void> {
    await pause(attempt.dice() * lateMsMax);
    const reply = await this.#forward(passage, attempt);
    if (reply !== undefined) this.#keep(passage, reply, "heldBack");
  }
}

function answer(response: ServerResponse, { status, headers, body }: Reply): Promise<void> {
  const kept = ["content-type", "x-request-id", "x-broker-time"] as const;
  response.writeHead(
    status,
    Object.fromEntries(kept.map((name) => [name, String(headers[name] ?? "")])),
  );
  return new Promise((resolve) => response.end(body, () => resolve()));
}

/** The id of the batch that a request sends, in either form, as hexadecimal digits; `undefined` where it sends none. */
export function batchIdOf({ headers, body = new Uint8Array() }: Call): string | undefined {
  if (body.length === 0) return undefined;
  if (headers?.["content-type"] === batchType)
    return Buffer.from(readBatch(body).id).toString("hex");
  return (JSON.parse(Buffer.from(body).toString()) as { readonly batchId?: string }).batchId;
}

function diceOf({ batchId, attempts }: Passage): () => number {
  return seededRandom(Number.parseInt(batchId.slice(0, 8), 16) + attempts);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
