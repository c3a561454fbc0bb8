import type { Invariant } from "../auditor.ts";

/** A row that was stored with a message is there exactly where the message is, once. */
export const anEnlistedRowHasItsMessage: Invariant = {
  name: "an enlisted row and its message are both there or neither",
  *check({ forwarding: { enlisted, found, rows } }) {
    for (const { uid, told } of enlisted) {
      const count = found.get("inbox")?.get(uid) ?? 0;
      if (count !== (rows.has(uid) ? 1 : 0))
        yield { what: `${uid}: ${count} messages, ${rows.has(uid) ? "a" : "no"} row`, uid };
      if (told && count === 0) yield { what: `${uid} was told and is not there`, uid };
    }
  },
};
