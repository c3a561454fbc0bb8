import { limits } from "../../src/broker/limits.ts";
import type { BadRequest } from "./bad-requests.ts";

const preparePath = "/v1/topics/orders/transactions";
const groupPath = "/v1/producer-groups/shop";

function post(
  name: string,
  field: string,
  json: object,
  rest: Partial<BadRequest> = {},
): BadRequest {
  const base = { name, method: "POST", path: preparePath, options: { json }, field };
  return { ...base, status: 422, code: "invalid", ...rest };
}

/** To prepare: a half that lacks nothing but what is wrong with it. */
function half(name: string, field: string, given: object, rest: Partial<BadRequest> = {}) {
  const json = { message: { body: "x" }, producerGroup: "shop", ...given };
  return post(`prepare: ${name}`, field, json, rest);
}

function ofMessage(name: string, given: object, rest: Partial<BadRequest> = {}) {
  const [field = ""] = Object.keys(given);
  return half(name, `message.${field}`, { message: { body: "x", ...given } }, rest);
}

const checks = { path: `${groupPath}/checks` } as const;
const settings = { method: "PUT", path: groupPath } as const;
const id = "0".repeat(32);

/** Requests about transactions that have to be refused. */
export const badTransactions: readonly BadRequest[] = [
  half("no message", "message", { message: undefined }),
  half("two messages", "messages", { messages: [] }),
  half("no producer group", "producerGroup", { producerGroup: undefined }),
  half("a producer group with a space", "producerGroup", { producerGroup: "a b" }),
  half("a producer group of 121 characters", "producerGroup", { producerGroup: "x".repeat(121) }),
  half("a check too soon", "checkAfterMs", { checkAfterMs: limits.checkAfterMsMin - 1 }),
  half("a check too late", "checkAfterMs", { checkAfterMs: limits.checkAfterMsMax + 1 }),
  half("a batch id alone", "batchId", { batchId: id }),
  half("a batch id that is no UUID", "batchId", { batchId: "1", firstAttemptAt: 1 }),
  half(
    "an old first attempt",
    "firstAttemptAt",
    { batchId: id, firstAttemptAt: 1 },
    { code: "retry_window_passed" },
  ),
  half("an unknown field", "attempt", { attempt: 1 }),
  ofMessage("an empty body", { body: "" }),
  ofMessage("queue and message group", { queue: 0, messageGroup: "g" }),
  ofMessage("a tag with |", { tag: "a|b" }),
  ofMessage("a delay and a level", { delayLevel: 1, delayMs: 1_000 }),
  ofMessage("a delay of more than a year", { delayMs: limits.delayMsMax + 1 }),
  ofMessage(
    "a queue that the topic does not have",
    { queue: 4 },
    { status: 404, code: "queue_not_found" },
  ),
  half(
    "a body above 4 MB",
    "message",
    { message: { body: "x".repeat(4_300_000) } },
    { status: 413, code: "message_too_large" },
  ),
  ...["NORMAL", "FIFO", "DELAY"].map((type) =>
    half(
      `for a ${type} topic`,
      "message",
      { message: { body: "x", messageGroup: "g", delayMs: 1 } },
      { path: `/v1/topics/${type.toLowerCase()}/transactions`, code: "type_mismatch" },
    ),
  ),
  ...["commit", "rollback", "revive"].map((verb) =>
    post(
      `${verb} of a transaction that is not there`,
      "transactionId",
      {},
      {
        path: `/v1/transactions/${id}/${verb}`,
        options: {},
        status: 404,
        code: "transaction_not_found",
      },
    ),
  ),
  post("max: 0 of checks", "max", { max: 0 }, checks),
  post("max: 33 of checks", "max", { max: 33 }, checks),
  post("waitMs: 20001 for checks", "waitMs", { waitMs: 20_001 }, checks),
  post("checkEveryMs: 999", "checkEveryMs", { checkEveryMs: 999 }, settings),
  post("checksMax: 0", "checksMax", { checksMax: 0 }, settings),
  ...[
    "http://hooks.example.com/",
    "hooks.example.com",
    "https://user:secret@hooks.example.com/",
    "https://hooks.example.com:8443/",
    "https://localhost/",
    "https://127.1/",
    "https://169.254.169.254/",
    "https://[fd00:ec2::254]/",
    "https://metadata.google.internal/",
    `https://hooks.example.com/${"x".repeat(2_048)}`,
  ].map((checkUrl) =>
    post(`checkUrl: ${checkUrl.slice(0, 60)}`, "checkUrl", { checkUrl }, settings),
  ),
  post("a checkUrl that is a number", "checkUrl", { checkUrl: 1 }, settings),
  post("another secret of no checkUrl", "rotateCheckSecret", { rotateCheckSecret: true }, settings),
  post("a setting of a producer group that is none", "colour", { colour: "red" }, settings),
  ...["state=OPEN", "limit=0", "cursor=x", "producerGroup=a.b"].map((query) => ({
    ...post(`transactions listed by ${query}`, query.replace(/=.*/, ""), {}),
    method: "GET",
    path: `/v1/transactions?${query}`,
    options: {},
  })),
];
