import { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { createHttpApi } from "../../src/api/http.ts";
import { operations } from "../../src/api/operations.ts";
import { Broker } from "../../src/broker/broker.ts";
import type { Clock } from "../../src/broker/ports/clock.ts";
import type { Fetch } from "../../src/client/http.ts";
import { memoryPorts } from "./memory-ports.ts";

/** A broker in this process that is reached by a `fetch` of its own: no socket, and time is the clock's. */
export interface InProcessBroker {
  readonly fetch: Fetch;
  readonly url: string;
  readonly broker: Broker;
}

export function inProcessBroker(
  clock: Clock,
  url = "http://broker.test",
  seed = 1,
): InProcessBroker {
  const broker = new Broker(memoryPorts(clock, { seed, store: new MemoryStore(clock) }));
  const api = createHttpApi({
    broker,
    operations,
    onError: (error) => {
      throw error;
    },
  });
  const fetch: Fetch = async (address, { method, headers, body }) => {
    const { pathname, searchParams } = new URL(address);
    const lower = new Map(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    );
    const answer = await api({
      method,
      path: pathname,
      query: searchParams,
      header: (name) => lower.get(name),
      body: typeof body === "string" ? new TextEncoder().encode(body) : (body ?? new Uint8Array()),
    });
    const parts = answer.body;
    const whole = parts === undefined || typeof parts === "string" ? parts : Buffer.concat(parts);
    return new Response(whole === "" ? undefined : whole, {
      status: answer.status,
      headers: answer.headers,
    });
  };
  return { fetch, url, broker };
}
