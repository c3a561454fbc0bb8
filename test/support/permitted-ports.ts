import type { Ability } from "../../src/api/operation.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";

/** The same ports, of which only some abilities may be used; told of each that is. */
export function permittedPorts(
  ports: Ports,
  permitted: readonly Ability[],
  onUse: (ability: Ability) => void,
): Ports {
  const use = (ability: Ability) => {
    if (!permitted.includes(ability)) throw new Error(`"uses" does not name ${ability}`);
    onUse(ability);
  };
  const { store, blobs, alarm, webhooks } = ports;
  return {
    ...ports,
    store: {
      get: async (keys) => {
        use("readStore");
        return store.get(keys);
      },
      scan: async (range) => {
        use("readStore");
        return store.scan(range);
      },
      commit: async (writes, until) => {
        use("writeStore");
        return store.commit(writes, until);
      },
    },
    blobs: {
      put: async (key, bytes) => {
        use("writeBlobs");
        return blobs.put(key, bytes);
      },
      get: async (key, range) => {
        use("readBlobs");
        return blobs.get(key, range);
      },
      delete: async (key) => {
        use("writeBlobs");
        return blobs.delete(key);
      },
      list: async (prefix, options) => {
        use("readBlobs");
        return blobs.list(prefix, options);
      },
    },
    alarm: {
      set: async (id, at) => {
        use("setAlarms");
        return alarm.set(id, at);
      },
      cancel: async (id) => {
        use("setAlarms");
        return alarm.cancel(id);
      },
    },
    webhooks: {
      expectAllowed: (url, field) => webhooks.expectAllowed(url, field),
      hmacSha256: (key, bytes) => webhooks.hmacSha256(key, bytes),
      post: async (...call) => {
        use("callWebhooks");
        return webhooks.post(...call);
      },
    },
  };
}
