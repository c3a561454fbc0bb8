import type { Agent } from "node:http";
import { call, expectJson, NoAnswer } from "./http.ts";

/** What a consumer group has committed of each queue, as far as its members know. */
export class Committed {
  readonly violations: string[] = [];
  commits = 0;
  readonly #group: string;
  readonly #topic: string;
  /** By queue: the highest that was acknowledged, and the highest that was tried. */
  readonly #acknowledged = new Map<number, number>();
  readonly #tried = new Map<number, number>();

  constructor(group: string, topic: string) {
    this.#group = group;
    this.#topic = topic;
  }

  /** Commits an offset a little beyond, or now and then below, what it committed before. False where no answer came. */
  async commit(agent: Agent, url: string, random: () => number, queue: number): Promise<boolean> {
    const before = this.#acknowledged.get(queue) ?? 0;
    const next = Math.max(0, before + Math.floor(random() * 20) - 5);
    this.#tried.set(queue, Math.max(next, this.#tried.get(queue) ?? 0));
    try {
      const reply = await call(agent, url, {
        method: "PUT",
        path: `/v1/groups/${this.#group}/offsets/${this.#topic}`,
        headers: { "content-type": "application/json" },
        body: Buffer.from(JSON.stringify({ offsets: { [queue]: next } })),
      });
      if (reply.status === 200) this.#learn(queue, before, reply.body.toString());
      return true;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return false;
    }
  }

  /** Asks where the group is: nowhere below what was acknowledged, nowhere above what was tried. */
  async audit(url: string): Promise<void> {
    const path = `/v1/groups/${this.#group}/offsets/${this.#topic}`;
    const { offsets } = await expectJson<OffsetsAnswer>(url, "GET", path);
    for (const [queue, tried] of this.#tried) {
      const acknowledged = this.#acknowledged.get(queue) ?? 0;
      const found = offsets[queue] ?? 0;
      if (found < acknowledged || found > tried) {
        this.violations.push(
          `group offset of queue ${queue} is ${found}, not ${acknowledged} to ${tried}`,
        );
      }
    }
  }

  #learn(queue: number, before: number, answer: string): void {
    const { offsets } = JSON.parse(answer) as OffsetsAnswer;
    const now = offsets[queue] ?? 0;
    this.commits++;
    if (now < before)
      this.violations.push(`group offset of queue ${queue} went back from ${before} to ${now}`);
    this.#acknowledged.set(queue, Math.max(now, this.#acknowledged.get(queue) ?? 0));
  }
}

interface OffsetsAnswer {
  readonly offsets: Readonly<Record<number, number>>;
}
