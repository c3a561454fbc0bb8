import type { Clock } from "../../broker/ports/clock.ts";

/** Node's timers take no more; a longer sleep ends early, as if it had been woken. */
const timerMsMax = 2 ** 31 - 1;

export class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms <= 0 || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(ms, timerMsMax));
      signal?.addEventListener("abort", wake);
    });
  }
}
