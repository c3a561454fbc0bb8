import { limits } from "../../src/broker/limits.ts";
import type { BadRequest } from "./bad-requests.ts";

const handle = "A".repeat(32);
const send = { topic: "orders", messages: [{ body: "x" }] };

/** A forward that lacks nothing but what is wrong with it. */
function bad(
  name: string,
  field: string,
  given: object,
  rest: Partial<BadRequest> = {},
): BadRequest {
  const json = { receiptHandles: [handle], sends: [send], ...given };
  const base = { method: "POST", path: "/v1/groups/billing/forward", options: { json }, field };
  return { ...base, name: `forward: ${name}`, status: 422, code: "invalid", ...rest };
}

/** Forwards that have to be refused. */
export const badForwards: readonly BadRequest[] = [
  bad("no handles", "receiptHandles", { receiptHandles: [] }),
  bad("handles that are none", "receiptHandles[0]", { receiptHandles: ["x"] }),
  bad("too many handles", "receiptHandles", {
    receiptHandles: Array.from({ length: limits.handlesPerRequestMax + 1 }, () => handle),
  }),
  bad("nothing to send", "sends", { sends: [] }),
  bad("no sends", "sends", { sends: undefined }),
  bad("too many sends", "sends", {
    sends: Array.from({ length: limits.forwardTargetsMax + 1 }, () => send),
  }),
  bad("no topic", "sends[0].topic", { sends: [{ messages: send.messages }] }),
  bad("a topic of the broker's own", "sends[0].topic", { sends: [{ ...send, topic: "%DLQ%g" }] }),
  bad("no messages", "sends[1].messages", { sends: [send, { ...send, messages: [] }] }),
  bad("a message without a body", "sends[0].messages[0].body", {
    sends: [{ ...send, messages: [{}] }],
  }),
  bad("a body that is no base64", "sends[0].messages[0].body", {
    sends: [{ ...send, messages: [{ body: "?", bodyEncoding: "base64" }] }],
  }),
  bad("too many messages", "sends", {
    sends: Array.from({ length: 2 }, () => ({
      ...send,
      messages: Array.from({ length: limits.messagesPerRequestMax }, () => ({ body: "x" })),
    })),
  }),
  bad("an unknown field", "rows", { rows: [] }),
  bad("an unknown field of a send", "sends[0].queue", { sends: [{ ...send, queue: 0 }] }),
];
