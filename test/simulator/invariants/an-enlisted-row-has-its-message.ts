import type { Invariant } from "../auditor.ts";
import { forwardsKeptMs } from "../forwarding.ts";

/** A row that was stored with a message is there exactly where the message is, once. */
export const anEnlistedRowHasItsMessage: Invariant = {
  name: "an enlisted row and its message are both there or neither",
  *check({ finalAt, forwarding: { enlisted, found, rows } }) {
    for (const { uid, startedAt, told } of enlisted) {
      if (startedAt < finalAt - forwardsKeptMs) continue;
      const count = found.get("inbox")?.get(uid) ?? 0;
      if (count !== (rows.has(uid) ? 1 : 0))
        yield { what: `${uid}: ${count} messages, ${rows.has(uid) ? "a" : "no"} row`, uid };
      if (told && count === 0) yield { what: `${uid} was told and is not there`, uid };
    }
  },
};
