/** Time, passed in so that the simulator can own it. */
export interface Clock {
  /** Milliseconds since the epoch, a whole number. */
  now(): number;
  /** Resolves after `ms` milliseconds, or as soon as `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
