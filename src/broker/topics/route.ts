import type { BrokerIdentity } from "../broker-identity.ts";
import { hex, writeU32 } from "../bytes.ts";
import { textHash } from "../text-hash.ts";

/** A broker and what it has of a topic. */
export interface RoutedBroker extends BrokerIdentity {
  readonly queues: number;
  readonly writable: boolean;
  readonly stale?: boolean;
}

/** Where the queues of a topic are. */
export interface Route {
  readonly topic: string;
  /** By the name of the broker, then by number: all who hash a message group over them choose the same one. */
  readonly queues: readonly {
    readonly broker: string;
    readonly queue: number;
    /** `rw`, or `r` where nothing may be sent. */
    readonly permission: "rw" | "r";
  }[];
  readonly brokers: readonly (BrokerIdentity & { readonly stale?: boolean })[];
  /** A hash of the rest, so it is another one whenever the rest is another, whoever tells it. */
  readonly version: string;
}

/** The route of a topic over some brokers. */
export function routeOf(topic: string, brokers: readonly RoutedBroker[]): Route {
  const sorted = [...brokers].sort((a, b) => (a.name < b.name ? -1 : 1));
  const route = {
    topic,
    queues: sorted.flatMap(({ name: broker, queues, writable }) =>
      Array.from({ length: queues }, (_, queue) => ({
        broker,
        queue,
        permission: writable ? ("rw" as const) : ("r" as const),
      })),
    ),
    brokers: sorted.map(({ name, endpoint, region, stale }) => ({
      name,
      endpoint,
      ...(region === undefined ? {} : { region }),
      ...(stale ? { stale } : {}),
    })),
  };
  const { high, low } = textHash(JSON.stringify(route));
  const bytes = new Uint8Array(8);
  writeU32(bytes, 0, high);
  writeU32(bytes, 4, low);
  return { ...route, version: hex(bytes) };
}
