import { seededRandom } from "../../src/adapters/faulty/faults.ts";
import { batchType } from "../../src/api/operation.ts";
import type { Clock } from "../../src/broker/ports/clock.ts";
import type { Fetch } from "../../src/client/http.ts";

export interface FaultShares {
  /** Answers that get lost. */
  readonly dropped: number;
  /** Requests that arrive only after the client has given them up. */
  readonly heldBack: number;
  /** Requests that a gateway answers instead. */
  readonly refused: number;
}

/** A network that loses answers, holds requests back and refuses others, by the dice of its seed. Sends alone are met. */
export function faultyFetch(
  fetch: Fetch,
  { dropped, heldBack, refused }: FaultShares,
  { seed, clock }: { readonly seed: number; readonly clock: Clock },
) {
  const dice = seededRandom(seed);
  const seen = { sends: 0, dropped: 0, heldBack: 0, refused: 0 };
  const late: Promise<unknown>[] = [];
  const faulty: Fetch = async (url, init) => {
    const isSend = init.headers["content-type"] === batchType || /\/messages$/.test(url);
    if (!isSend || init.method !== "POST") return await fetch(url, init);
    seen.sends++;
    const fate = dice();
    if (fate < dropped) {
      seen.dropped++;
      await fetch(url, init);
      throw new TypeError("fetch failed");
    }
    if (fate < dropped + heldBack) {
      seen.heldBack++;
      // As a request whose connection broke on this side does: it arrives all the same, at some time.
      late.push(clock.sleep(dice() * 2_000).then(() => fetch(url, init)));
      await clock.sleep(dice() * 50);
      throw new TypeError("fetch failed");
    }
    if (fate < dropped + heldBack + refused) {
      seen.refused++;
      return dice() < 0.5
        ? new Response("Service Unavailable", { status: 503 })
        : Response.json({ message: "Too Many Requests" }, { status: 429 });
    }
    return await fetch(url, init);
  };
  return { fetch: faulty, seen, allArrived: () => Promise.all(late) };
}
