import type { Agent } from "node:http";
import { type Call, call, NoAnswer } from "./http.ts";
import { isDecided, type Ledger, type Sending } from "./ledger.ts";

/** Attempts a sending once and writes down what came of it. Answers whether there was an answer at all. */
export async function attempt(
  agent: Agent,
  url: string,
  ledger: Ledger,
  sending: Sending,
  patience: Pick<Call, "patienceMs"> = {},
): Promise<boolean> {
  const request = sending.attempts > 0 ? laterAttempt(sending) : sending.call;
  ledger.begin(sending);
  try {
    const reply = await call(agent, url, { ...request, ...patience });
    // Whatever stands in front of the broker may answer in its place; only the broker's answers carry this.
    if (reply.headers["x-request-id"] === undefined)
      throw new NoAnswer(`${reply.status} from somebody else`);
    ledger.answered(sending, reply);
    return true;
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    ledger.noAnswer(sending);
    return false;
  }
}

/** The batch is the same to the byte; which attempt it is stands beside a binary one. */
function laterAttempt({ call: first, attempts }: Sending): Call {
  return { ...first, path: first.path.replace(/attempt=\d+/, `attempt=${attempts + 1}`) };
}

/** Attempts it again and again until every message of it is decided. */
export async function settle(
  agent: Agent,
  url: string,
  ledger: Ledger,
  sending: Sending,
): Promise<void> {
  const until = performance.now() + settleMsMax;
  while (!isDecided(sending) && performance.now() < until) {
    await attempt(agent, url, ledger, sending);
    if (!isDecided(sending)) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (!isDecided(sending)) ledger.violations.push("a batch with an id was not decided in 30 s");
}

const settleMsMax = 30_000;
