import type { RequestBroker } from "../request-broker.ts";
import { Checks } from "./checks.ts";
import { ProducerGroups } from "./producer-groups.ts";
import { Transactions } from "./transactions.ts";

/** What a broker needs for transactions. */
export interface Transacting {
  readonly transactions: Transactions;
  readonly producerGroups: ProducerGroups;
  readonly checks: Checks;
}

const made = new WeakMap<RequestBroker, Transacting>();

/** Made at its first use and apart from the broker, so that a function that serves senders does not load it. */
export function transacting(broker: RequestBroker): Transacting {
  const known = made.get(broker);
  if (known !== undefined) return known;
  const { topics, log, timers } = broker;
  const transactions = new Transactions(topics, log, timers);
  const producerGroups = new ProducerGroups();
  const parts = { transactions, producerGroups, checks: new Checks(producerGroups) };
  made.set(broker, parts);
  return parts;
}
