import type { Clock } from "../broker/ports/clock.ts";

/** RocketMQ's MQFaultStrategy: a broker that took so long is avoided for so long (ms). */
const latencyMs = [0, 550, 1_800, 3_000, 5_000, 15_000];
const avoidedMs = [0, 2_000, 5_000, 6_000, 10_000, 30_000];
/** One that failed counts as one that took so long. */
const failedCountsAsMs = 10_000;
/** What a clock says after a long way is worth little, unless nothing else is known. */
const roundTripMsMax = 1_000;

/** One address of a broker or name server, and what was seen of it lately. */
export class Endpoint {
  readonly url: string;
  readonly #clock: Clock;
  #avoidUntil = 0;
  #ahead: number | undefined;

  constructor(url: string, clock: Clock) {
    this.url = url;
    this.#clock = clock;
  }

  /** Until when others are preferred; 0 where nothing is known against it. */
  get avoidUntil(): number {
    return this.#avoidUntil;
  }

  get available(): boolean {
    return this.#clock.now() >= this.#avoidUntil;
  }

  tookMs(ms: number): void {
    const step = latencyMs.findLastIndex((bound) => ms >= bound);
    this.#avoidUntil = this.#clock.now() + (avoidedMs[step] ?? 0);
  }

  failed(): void {
    this.tookMs(failedCountsAsMs);
  }

  /** From the header of an answer. An answer tells a time that has passed when it arrives, so the guess is never ahead. */
  learnTime(header: string | null, roundTripMs: number): void {
    const told = Number(header ?? Number.NaN);
    if (!Number.isFinite(told)) return;
    if (this.#ahead !== undefined && roundTripMs > roundTripMsMax) return;
    this.#ahead = told - this.#clock.now();
  }

  /** The time by the broker's clock, or by ours before it has answered once. Never ahead of the broker's. */
  brokerNow(): number {
    return this.#clock.now() + (this.#ahead ?? 0);
  }
}
