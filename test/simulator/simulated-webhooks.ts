import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { WebhookAnswer, Webhooks } from "../../src/broker/ports/webhooks.ts";
import type { Process, World } from "./world.ts";

/** Who answers webhooks: it is given bodies, as often as they arrive. */
export type Endpoint = (body: Uint8Array) => WebhookAnswer;

/** Calls that are lost, arrive twice, and are answered late or not at all. */
export class SimulatedWebhooks implements Webhooks {
  readonly #world: World;
  readonly #process: Process;
  readonly #endpoint: () => Endpoint | undefined;

  constructor(world: World, process: Process, endpoint: () => Endpoint | undefined) {
    this.#world = world;
    this.#process = process;
    this.#endpoint = endpoint;
  }

  async expectAllowed(): Promise<void> {}

  /** Nobody here looks at it. */
  hmacSha256(): Uint8Array {
    return new Uint8Array(32);
  }

  post(
    _url: string,
    _headers: unknown,
    body: Uint8Array,
    { timeoutMs }: { readonly timeoutMs: number },
  ): Promise<WebhookAnswer> {
    const world = this.#world;
    const { dice, rates } = world;
    world.steps++;
    world.count("post to a webhook");
    return new Promise((resolve, reject) => {
      const late = () => reject(new Unavailable("no answer"));
      world.deliver(this.#process, timeoutMs, late);
      const arriveAfter = (ms: number) =>
        world.after(ms, () => {
          const answer = this.#endpoint()?.(body);
          if (answer === undefined || world.befalls("webhook answer lost", rates.lostCall)) return;
          const takesMs = world.befalls("webhook answer late", rates.lateCall)
            ? dice.between(1_000, 90_000)
            : dice.between(1, 100);
          world.deliver(this.#process, takesMs, () => resolve(answer));
        });
      if (world.befalls("webhook call lost", rates.lostCall)) return;
      arriveAfter(dice.between(1, 20));
      if (world.befalls("webhook call twice", rates.lateCall))
        arriveAfter(dice.between(1, dice.pick([100, 60_000])));
    });
  }
}
