/** Takes a sample again and again until it is stopped, and knows how regularly it did. */
export class Samples {
  readonly values: number[] = [];
  /** The longest time from one sample to the next (ms). */
  longestGapMs = 0;
  readonly #timer: NodeJS.Timeout;
  #lastAt = performance.now();
  #failure: unknown;

  constructor(everyMs: number, take: () => Promise<number>) {
    this.#timer = setInterval(() => {
      take().then(
        (value) => {
          this.values.push(value);
          const now = performance.now();
          this.longestGapMs = Math.max(this.longestGapMs, now - this.#lastAt);
          this.#lastAt = now;
        },
        (error: unknown) => {
          this.#failure = error;
        },
      );
    }, everyMs);
  }

  /** Throws where a sample could not be taken. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#failure !== undefined) throw this.#failure as Error;
  }

  get max(): number {
    return Math.max(...this.values);
  }

  /** The value that this share of the samples, 0 to 1, does not exceed. */
  percentile(share: number): number {
    const sorted = this.values.toSorted((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
  }
}
