import type { Auditor } from "../auditor.ts";
import type { Delivery } from "../consumption.ts";

/** Instants of two brokers differ by at most so much, and a little (ms). */
export const clockErrorsMs = 600;

/** The deliveries of each message to each group. */
export function deliveriesByMessage({ consumption }: Auditor): Iterable<Delivery[]> {
  const found = new Map<string, Delivery[]>();
  for (const delivery of consumption.deliveries) {
    const name = `${delivery.group} ${delivery.place}`;
    found.set(name, [...(found.get(name) ?? []), delivery]);
  }
  return found.values();
}
