import type { Connection } from "./connection.ts";
import type { DeliveredMessage } from "./received-message.ts";
import { settleEach } from "./settle.ts";

/** Of the invisible time that passes before it is extended: two more tries fit into the rest. */
const extendAtShare = 1 / 3;

interface Kept {
  readonly message: DeliveredMessage;
  readonly until: number;
}

/** Keeps messages invisible to others for as long as they are in hand. */
export class KeepAlive {
  readonly #connection: Connection;
  readonly #group: string;
  readonly #invisibleMs: number;
  readonly #keepMsMax: number;
  readonly #kept = new Map<DeliveredMessage, Kept>();
  #timer: AbortController | undefined;

  constructor(
    connection: Connection,
    {
      group,
      invisibleMs,
      keepMsMax,
    }: { readonly group: string; readonly invisibleMs: number; readonly keepMsMax: number },
  ) {
    this.#connection = connection;
    this.#group = group;
    this.#invisibleMs = invisibleMs;
    this.#keepMsMax = keepMsMax;
  }

  hold(messages: readonly DeliveredMessage[]): void {
    const until = this.#connection.settings.clock.now() + this.#keepMsMax;
    for (const message of messages) this.#kept.set(message, { message, until });
    if (this.#timer === undefined && this.#kept.size > 0) void this.#extending();
  }

  release(messages: readonly DeliveredMessage[]): void {
    for (const message of messages) this.#kept.delete(message);
    if (this.#kept.size === 0) this.#timer?.abort();
  }

  close(): void {
    this.#kept.clear();
    this.#timer?.abort();
  }

  async #extending(): Promise<void> {
    const { clock } = this.#connection.settings;
    const timer = new AbortController();
    this.#timer = timer;
    while (this.#kept.size > 0) {
      await clock.sleep(this.#invisibleMs * extendAtShare, timer.signal);
      const now = clock.now();
      for (const { message, until } of this.#kept.values())
        if (until <= now) this.#kept.delete(message);
      if (timer.signal.aborted || this.#kept.size === 0) break;
      const messages = [...this.#kept.keys()];
      const body = { invisibleMs: this.#invisibleMs };
      const timeoutMs = Math.ceil(this.#invisibleMs * extendAtShare);
      const errors = await settleEach(
        this.#connection,
        this.#group,
        messages,
        { path: "extend", body },
        { timeoutMs, signal: timer.signal },
      );
      errors.forEach((error, index) => {
        // Somebody else has it now; whoever settles it here is told so.
        const message = messages[index];
        if (
          error !== undefined &&
          !error.retryable &&
          message !== undefined &&
          !timer.signal.aborted
        )
          this.#kept.delete(message);
      });
    }
    if (this.#timer === timer) this.#timer = undefined;
    if (this.#kept.size > 0 && this.#timer === undefined) void this.#extending();
  }
}
