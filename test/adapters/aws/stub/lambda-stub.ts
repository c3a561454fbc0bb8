import type { Clock } from "../../../../src/broker/ports/clock.ts";
import type { StubAnswer, StubRequest } from "./aws-stub.ts";

/** AWS waits so long before the second and the third attempt at an event. */
const retryAfterMs = [60_000, 120_000];

/** Asynchronous calls of Lambda functions: taken at once, delivered up to three times. */
export class LambdaStub {
  /** The function. */
  onEvent: (event: unknown) => Promise<void> = async () => {};
  readonly events: { readonly functionArn: string; readonly event: unknown }[] = [];
  /** Events that failed three times. */
  readonly deadLetters: unknown[] = [];
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nameOf({ method, path }: StubRequest): string | undefined {
    return method === "POST" && path.startsWith("/2015-03-31/functions/") ? "Invoke" : undefined;
  }

  handle(_operation: string, { path, headers, body }: StubRequest): StubAnswer {
    const signed = `${headers.authorization}`.includes("/us-east-1/lambda/aws4_request");
    if (!signed || headers["x-amz-invocation-type"] !== "Event") return { status: 400 };
    this.invoke(decodeURIComponent(path.split("/")[3] ?? ""), JSON.parse(body.toString()));
    return { status: 202 };
  }

  invoke(functionArn: string, event: unknown): void {
    this.events.push({ functionArn, event });
    void this.#deliver(event);
  }

  async #deliver(event: unknown): Promise<void> {
    for (const pauseMs of [...retryAfterMs, undefined]) {
      try {
        return await this.onEvent(event);
      } catch {
        if (pauseMs === undefined) this.deadLetters.push(event);
        else await this.#clock.sleep(pauseMs);
      }
    }
  }
}
