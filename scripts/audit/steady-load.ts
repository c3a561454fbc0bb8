import { batchType } from "../../src/api/operation.ts";
import { encodeBatch } from "../../src/broker/log/batch.ts";
import { pause } from "./delayed.ts";
import { call, oneConnection } from "./http.ts";

const connections = 8;
const messagesPerBatch = 50;

/** Sends so many messages a second, in batches, at a pace that does not wait for the answers. */
export class SteadyLoad {
  acknowledged = 0;
  readonly #begunAt = Date.now();
  #endedAt = 0;
  #going = true;
  readonly #running: Promise<unknown>;

  constructor(url: string, topic: string, perSecond: number) {
    const everyMs = (1_000 * messagesPerBatch * connections) / perSecond;
    this.#running = Promise.all(
      Array.from({ length: connections }, (_, index) =>
        this.#send(url, topic, {
          everyMs,
          firstAt: this.#begunAt + (index * everyMs) / connections,
        }),
      ),
    );
  }

  /** Messages a second that were acknowledged while it lasted. */
  get perSecond(): number {
    return Math.round((1_000 * this.acknowledged) / (this.#endedAt - this.#begunAt));
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#running;
    this.#endedAt = Date.now();
  }

  async #send(
    url: string,
    topic: string,
    { everyMs, firstAt }: { readonly everyMs: number; readonly firstAt: number },
  ): Promise<void> {
    const agent = oneConnection();
    const bornAt = Date.now();
    const message = { body: Buffer.alloc(100, "x"), bornAt };
    const messages = Array.from({ length: messagesPerBatch }, () => message);
    const body = encodeBatch({ id: new Uint8Array(16), firstAttemptAt: 0, bornAt, messages });
    const headers = { "content-type": batchType };
    for (let number = 0; this.#going; number++) {
      const aheadMs = firstAt + number * everyMs - Date.now();
      if (aheadMs > 0) await pause(aheadMs);
      const path = `/v1/topics/${topic}/messages?queue=${number % loadQueues}`;
      const { status } = await call(agent, url, { method: "POST", path, headers, body });
      if (status !== 200) throw new Error(`a send of the load was answered with ${status}`);
      this.acknowledged += messagesPerBatch;
    }
    agent.destroy();
  }
}

export const loadQueues = 4;
