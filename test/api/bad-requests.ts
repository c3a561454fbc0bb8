import { gzipSync } from "node:zlib";
import { limits } from "../../src/broker/limits.ts";
import { encodeMessages } from "../../src/broker/log/message.ts";
import { batchOf, compressed, sealed, withContent } from "../support/batches.ts";
import { batchType, type CallOptions } from "../support/http-client.ts";
import { badForwards } from "./bad-forwards.ts";
import { badTransactions } from "./bad-transactions.ts";

/** A request that has to be refused, and how. */
export interface BadRequest {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly options: CallOptions;
  readonly status: number;
  readonly code: string;
  /** The field that is blamed. */
  readonly field?: string | RegExp;
}

const text = (value: string) => new TextEncoder().encode(value);
const messagesPath = "/v1/topics/orders/messages";
const pullPath = "/v1/topics/orders/queues/0/messages";
const seekPath = "/v1/topics/orders/queues/0/offset";
const searchPath = "/v1/topics/orders/search";
const offsetsPath = "/v1/groups/g/offsets/orders";

/** Refused for one field of the JSON that is sent. */
function field(
  name: string,
  blamed: string | RegExp,
  given: unknown,
  rest: Partial<BadRequest> = {},
): BadRequest {
  const options =
    typeof given === "string" ? { body: given, type: "application/json" } : { json: given };
  const base = { name, method: "POST", path: messagesPath, options };
  return { ...base, status: 422, code: "invalid", field: blamed, ...rest };
}

function message(name: string, fields: object, rest: Partial<BadRequest> = {}): BadRequest {
  const [given = "body"] = Object.keys(fields);
  const json = { messages: [{ body: "fine" }, { body: "x", ...fields }] };
  return field(`message: ${name}`, `messages[1].${given}`, json, rest);
}

function get(
  name: string,
  path: string,
  blamed: string,
  rest: Partial<BadRequest> = {},
): BadRequest {
  const base = { name, method: "GET", path, options: {}, field: blamed };
  return { ...base, status: 422, code: "invalid", ...rest };
}

function binary(
  name: string,
  body: Uint8Array,
  blamed: string | RegExp,
  rest: Partial<BadRequest> = {},
): BadRequest {
  const options = { body, type: batchType };
  const base = { name: `batch: ${name}`, method: "POST", path: messagesPath, options };
  return { ...base, status: 422, code: "invalid", field: blamed, ...rest };
}

const put = { method: "PUT", path: "/v1/topics/new" } as const;
const commit = { method: "PUT", path: offsetsPath } as const;
const seal = { method: "POST", path: "/v1/topics/orders/seal" } as const;
const malformed = { status: 400, code: "bad_request" } as const;
const mismatch = { code: "type_mismatch" } as const;
const dayMs = 24 * 60 * 60_000;
const yearAfterNext = Date.now() + 2 * 366 * dayMs;
const tooLarge = { status: 413, code: "message_too_large" } as const;

const json: readonly BadRequest[] = [
  field("no JSON", "body", "{", malformed),
  field("an empty body", "body", "", malformed),
  {
    ...field("ill-formed UTF-8", "body", "", malformed),
    options: { body: Uint8Array.of(0x22, 0xff, 0x22), type: "application/json" },
  },
  field("an array for an object", "body", []),
  field("null for an object", "body", "null"),
  field("no messages", "messages", {}),
  field("messages that are none", "messages", { messages: "x" }),
  field("an empty list of messages", "messages", { messages: [] }),
  field("too many messages", "messages", {
    messages: Array.from({ length: 1_025 }, () => ({ body: "x" })),
  }),
  field("a message that is none", "messages[0]", { messages: [7] }),
  field("an unknown field", "colour", { messages: [{ body: "x" }], colour: "red" }),
  field("__proto__ as a field", "__proto__", '{"messages":[{"body":"x"}],"__proto__":{}}'),
  field("a batch id that is no UUID", "batchId", {
    messages: [{ body: "x" }],
    batchId: "1",
    firstAttemptAt: 1,
  }),
  field("a batch id alone", "batchId", { messages: [{ body: "x" }], batchId: "0".repeat(32) }),
  field("a first attempt alone", "batchId", { messages: [{ body: "x" }], firstAttemptAt: 1 }),
  field("a first attempt that is no time", "firstAttemptAt", {
    messages: [{ body: "x" }],
    firstAttemptAt: "soon",
  }),
  field(
    "an old first attempt",
    "firstAttemptAt",
    { messages: [{ body: "x" }], batchId: "0".repeat(32), firstAttemptAt: 1 },
    { code: "retry_window_passed" },
  ),
  field(
    "a first attempt in the future",
    "firstAttemptAt",
    { messages: [{ body: "x" }], batchId: "0".repeat(32), firstAttemptAt: "2999-01-01T00:00:00Z" },
    { code: "clock_skew" },
  ),
  field("attempt 0", "attempt", { messages: [{ body: "x" }], attempt: 0 }),
  field("half an attempt", "attempt", { messages: [{ body: "x" }], attempt: 1.5 }),
  message("an unknown field", { bodi: "x" }),
  message("no body", { body: undefined }),
  message("an empty body", { body: "" }),
  message("a number as body", { body: 1 }),
  message("half a surrogate pair in the body", { body: "\ud800" }),
  message("an encoding that is none", { bodyEncoding: "hex" }),
  message("base64 that is none", { body: "a*==", bodyEncoding: "base64" }),
  message("base64 without padding", { body: "QQ", bodyEncoding: "base64" }),
  message("base64 with bits left over", { body: "QR==", bodyEncoding: "base64" }),
  message("a tag with |", { tag: "a|b" }),
  message("an empty tag", { tag: "" }),
  message("a blank tag", { tag: "  " }),
  message("a tag of 129 bytes", { tag: "ü".repeat(65) }),
  message("a control character in the tag", { tag: "a\u0000" }),
  message("half a surrogate pair in the tag", { tag: "\udc00" }),
  message("null as tag", { tag: null }),
  message("keys that are no list", { keys: "k" }),
  message("a key that is no text", { keys: [1] }, { field: "messages[1].keys[0]" }),
  message("a key with a space", { keys: ["a b"] }),
  message("an empty key", { keys: [""] }),
  message("65 keys", { keys: Array.from({ length: 65 }, (_, index) => `${index}`) }),
  message("a list as properties", { properties: ["a"] }),
  message("a number as property", { properties: { a: 1 } }, { field: "messages[1].properties.a" }),
  message("a property without a name", { properties: { "": "x" } }),
  message(
    "a control character in a property",
    { properties: { a: "\u0007" } },
    { field: "messages[1].properties.a" },
  ),
  message(
    "half a surrogate pair in a property",
    { properties: { a: "\ud800" } },
    { field: "messages[1].properties.a" },
  ),
  field(
    "message: a property called __proto__",
    "messages[0].properties",
    '{"messages":[{"body":"x","properties":{"__proto__":"a"}}]}',
  ),
  message("129 properties", {
    properties: Object.fromEntries(Array.from({ length: 129 }, (_, index) => [`p${index}`, ""])),
  }),
  message("properties of more than 16 KB", { properties: { a: "x".repeat(16_384) } }, tooLarge),
  message("an id of 129 bytes", { messageId: "x".repeat(129) }),
  message("an empty id", { messageId: "" }),
  message("a message group of 64 bytes", { messageGroup: "x".repeat(64) }),
  message("an empty message group", { messageGroup: "" }),
  message("queue and message group", { queue: 0, messageGroup: "g" }),
  message("a negative queue", { queue: -1 }),
  message("text as queue", { queue: "0" }),
  message("a queue beyond every topic", { queue: 64 }),
  message(
    "a queue that the topic does not have",
    { queue: 4 },
    { status: 404, code: "queue_not_found" },
  ),
  message("birth before the epoch", { bornAt: -1 }),
  message("birth before the epoch, in words", { bornAt: "1960-01-01T00:00:00Z" }),
  message("birth without a time zone", { bornAt: "2026-01-01T00:00:00" }),
  message("a delay below none", { delayMs: -1 }),
  message("a delay of more than a year", { delayMs: 367 * dayMs }),
  message("a delay of half a millisecond", { delayMs: 0.5 }),
  message("a level below the first", { delayLevel: 0 }),
  message("a level above the last", { delayLevel: 19 }),
  message("an instant to be delivered that is none", { deliverAt: "tomorrow" }),
  message("an instant to be delivered without a time zone", { deliverAt: "2026-01-01T00:00:00" }),
  message("an instant to be delivered more than a year ahead", { deliverAt: yearAfterNext }),
  message("a delay and a level", { delayLevel: 1, delayMs: 1_000 }),
  message("an instant and a delay", { delayMs: 1_000, deliverAt: 1_700_000_000_000 }),
  ...(["NORMAL", "FIFO"] as const).map((type) =>
    field(
      `a delayed message for a ${type} topic`,
      "messages[0]",
      { messages: [{ body: "x", delayMs: 1_000, ...(type === "FIFO" && { messageGroup: "g" }) }] },
      { ...mismatch, path: `/v1/topics/${type.toLowerCase()}/messages` },
    ),
  ),
  field(
    "one of two that does not wait, for a DELAY topic",
    "messages[1]",
    { messages: [{ body: "x", delayMs: 1_000 }, { body: "x" }] },
    { ...mismatch, path: "/v1/topics/delay/messages" },
  ),
  field(
    "a body above 4 MB",
    "messages[0]",
    { messages: [{ body: "x".repeat(4_300_000) }] },
    tooLarge,
  ),
  field(
    "a batch above 4 MB",
    "messages",
    { messages: Array.from({ length: 5 }, () => ({ body: "x".repeat(900_000) })) },
    { status: 413, code: "batch_too_large" },
  ),
  field(
    "a request above 6 MB",
    "body",
    { messages: [{ body: "x".repeat(6_300_000) }] },
    { status: 413, code: "batch_too_large" },
  ),
  field(
    "a message without group to a FIFO topic",
    "messages[0]",
    { messages: [{ body: "x" }] },
    { path: "/v1/topics/fifo/messages", code: "type_mismatch" },
  ),
  field("queues: 0", "queues", { queues: 0 }, put),
  field("queues: 65", "queues", { queues: 65 }, put),
  field("queues: 1.5", "queues", { queues: 1.5 }, put),
  field("queues: null", "queues", { queues: null }, put),
  field("a type that is none", "type", { type: "normal" }, put),
  field("a retention below a minute", "retentionMs", { retentionMs: 59_999 }, put),
  field("a retention beyond ten years", "retentionMs", { retentionMs: 1e15 }, put),
  field("writable: 1", "writable", { writable: 1 }, put),
  field("an unknown setting", "replicas", { replicas: 3 }, put),
  field("fewer queues", "queues", { queues: 1 }, { method: "PATCH", path: "/v1/topics/orders" }),
  field("another type", "type", { type: "FIFO" }, { method: "PATCH", path: "/v1/topics/orders" }),
  field("a topic's name with a dot", "topic", {}, { method: "PUT", path: "/v1/topics/a.b" }),
  field("a topic's name with a slash", "topic", {}, { method: "PUT", path: "/v1/topics/a%2Fb" }),
  field(
    "a topic's name of 128 characters",
    "topic",
    {},
    { method: "PUT", path: `/v1/topics/${"x".repeat(128)}` },
  ),
  field(
    "a topic's name of the system",
    "topic",
    {},
    { method: "PUT", path: "/v1/topics/%25DLQ%25g" },
  ),
  field(
    "a path that is no UTF-8",
    "topic",
    {},
    { method: "PUT", path: "/v1/topics/%ff", ...malformed },
  ),
  field(
    "a group's name with a space",
    "group",
    { offsets: { 0: 1 } },
    { method: "PUT", path: "/v1/groups/a%20b/offsets/orders" },
  ),
  field(
    "a group's name of 121 characters",
    "group",
    { offsets: { 0: 1 } },
    { method: "PUT", path: `/v1/groups/${"x".repeat(121)}/offsets/orders` },
  ),
  field("queue: -1 to seal", "queue", { queue: -1 }, seal),
  field("a list of queues to seal", "queue", { queue: [0] }, seal),
  field("queues to seal", "queues", { queues: [0] }, seal),
  field("null to seal", "body", "null", seal),
  field("no JSON to seal", "body", "{", { ...seal, ...malformed }),
  field(
    "a queue to seal that is not there",
    "queue",
    { queue: 4 },
    { ...seal, status: 404, code: "queue_not_found" },
  ),
  field("no offsets", "offsets", {}, commit),
  field("empty offsets", "offsets", { offsets: {} }, commit),
  field("offsets as a list", "offsets", { offsets: [1] }, commit),
  field("an offset of a queue that is no number", "offsets.x", { offsets: { x: 1 } }, commit),
  field("an offset of queue 00", "offsets.00", { offsets: { "00": 1 } }, commit),
  field("a negative offset", "offsets.0", { offsets: { 0: -1 } }, commit),
  field("an offset beyond 2^53", "offsets.0", '{"offsets":{"0":9007199254740993}}', commit),
  field("an offset as text", "offsets.0", { offsets: { 0: "1" } }, commit),
  field("an offset called __proto__", "offsets", '{"offsets":{"0":9,"__proto__":1}}', commit),
  field(
    "an offset of a queue that is not there",
    "offsets.7",
    { offsets: { 0: 9, 7: 1 } },
    { ...commit, status: 404, code: "queue_not_found" },
  ),
];

const urls: readonly BadRequest[] = [
  get("no offset", pullPath, "offset"),
  get("an offset that is none", `${pullPath}?offset=x`, "offset"),
  get("a negative offset to pull", `${pullPath}?offset=-1`, "offset"),
  get("an offset to pull beyond 2^53", `${pullPath}?offset=9007199254740993`, "offset"),
  get("an offset behind the tail", `${pullPath}?offset=1000`, "offset", {
    status: 416,
    code: "out_of_range",
  }),
  get("two offsets", `${pullPath}?offset=0&offset=1`, "offset", malformed),
  get("max=0", `${pullPath}?offset=0&max=0`, "max"),
  get("max=1025", `${pullPath}?offset=0&max=1025`, "max"),
  get("maxBytes=0", `${pullPath}?offset=0&maxBytes=0`, "maxBytes"),
  get("waitMs=20001", `${pullPath}?offset=0&waitMs=20001`, "waitMs"),
  get("an unknown query", `${pullPath}?offset=0&limit=1`, "limit"),
  get("toString as a query", `${pullPath}?offset=0&toString=1`, "toString"),
  get("__proto__ as a query", `${pullPath}?offset=0&__proto__=1`, "__proto__"),
  get("a queue that is no number", "/v1/topics/orders/queues/x/messages?offset=0", "queue"),
  get("a queue that is not there", "/v1/topics/orders/queues/4/messages?offset=0", "queue", {
    status: 404,
    code: "queue_not_found",
  }),
  get("a message's offset that is none", `${pullPath}/first`, "offset"),
  get("no time to seek", seekPath, "at"),
  get("a time to seek that is none", `${seekPath}?at=yesterday`, "at"),
  get("a time to seek without a time zone", `${seekPath}?at=2026-01-01T00:00:00`, "at"),
  get("a time to seek with a + that is a space", `${seekPath}?at=2026-01-01T00:00:00+02:00`, "at"),
  get("a time to seek before the epoch", `${seekPath}?at=1960-01-01T00:00:00Z`, "at"),
  get("a negative time to seek", `${seekPath}?at=-1`, "at"),
  get("a time to seek beyond 48 bits", `${seekPath}?at=281474976710656`, "at"),
  get(
    "a time to seek in a queue that is not there",
    "/v1/topics/orders/queues/4/offset?at=1",
    "queue",
    {
      status: 404,
      code: "queue_not_found",
    },
  ),
  get("nothing to search for", searchPath, "key"),
  get("a key and an id to search for", `${searchPath}?key=a&messageId=b`, "messageId"),
  get("an empty key", `${searchPath}?key=`, "key"),
  get(
    "an id to search for of 129 characters",
    `${searchPath}?messageId=${"x".repeat(129)}`,
    "messageId",
  ),
  get("a search from a time that is none", `${searchPath}?key=a&from=now`, "from"),
  get("a search to a time that is not later", `${searchPath}?key=a&from=5&to=5`, "to"),
  get("limit=101 of a search", `${searchPath}?key=a&limit=101`, "limit"),
  get("an unknown query of a search", `${searchPath}?key=a&queue=0`, "queue"),
  ...["x", "", "00", "0".repeat(28), "ü".repeat(14), "f".repeat(280)].map((cursor, index) =>
    get(
      `a made-up cursor, ${index}`,
      `${searchPath}?key=a&cursor=${encodeURIComponent(cursor)}`,
      "cursor",
    ),
  ),
  get("limit=0", "/v1/topics?limit=0", "limit"),
  get("limit=1001", "/v1/topics?limit=1001", "limit"),
  get("a cursor that is none", "/v1/topics?cursor=%00", "cursor"),
  ...["x", "0".repeat(52), "f".repeat(52), "0".repeat(51), `${"0".repeat(51)}G`].map((handle) =>
    get(
      `a recall handle that nobody was given: ${handle}`,
      `/v1/delayed/${handle}`,
      "recallHandle",
      {
        method: "DELETE",
        status: 404,
        code: "delayed_not_found",
      },
    ),
  ),
  get("limit=0 of what waits", "/v1/delayed?limit=0", "limit"),
  get("limit=1001 of what waits", "/v1/delayed?limit=1001", "limit"),
  get("a cursor of what waits that is none", "/v1/delayed?cursor=x", "cursor"),
  get("what waits for a topic's name with a dot", "/v1/delayed?topic=a.b", "topic"),
  get("a query where none is taken", "/v1/topics/orders?x=1", "x"),
  get("a path that is not there", "/v2/topics", "path", { status: 404, code: "route_not_found" }),
  get("a path with a slash more", "/v1/topics/orders/x", "path", {
    status: 404,
    code: "route_not_found",
  }),
  get("a method that is not there", messagesPath, "method", {
    status: 405,
    code: "method_not_allowed",
  }),
  get("force=1", "/v1/topics/orders?force=1", "force", { method: "DELETE" }),
  get("a body where none is taken", "/v1/topics/orders", "body", {
    method: "DELETE",
    options: { json: {} },
    ...malformed,
  }),
  get("a body without a type", messagesPath, "content-type", {
    method: "POST",
    options: { body: text("{}") },
    status: 415,
    code: "unsupported_media_type",
  }),
  get("a body of another type", messagesPath, "content-type", {
    method: "POST",
    options: { body: "{}", type: "text/json" },
    status: 415,
    code: "unsupported_media_type",
  }),
  get("a batch for JSON", "/v1/topics/new", "content-type", {
    method: "PUT",
    options: { body: text("x"), type: batchType },
    status: 415,
    code: "unsupported_media_type",
  }),
];

const bornAt = 1_700_000_000_000;
const plain = batchOf([{ body: text("hello") }, { body: text("world") }]);
const content = (...messages: readonly number[][]) =>
  withContent(batchOf([{ body: text("x") }]), Uint8Array.from(messages.flat()));
/** A message of its bytes behind the length. */
const raw = (...bytes: number[]) => [bytes.length, ...bytes];
const cut = (batch: Uint8Array, length: number) => batch.subarray(0, length);
const inside = (fields: object) => batchOf([{ body: text("x") }, { body: text("x"), ...fields }]);
const gzipped = (bytes: Uint8Array) =>
  sealed(withContent(plain, gzipSync(bytes)), (head) => head.writeUInt16BE(1, 6));

const binaries: readonly BadRequest[] = [
  binary("nothing", new Uint8Array(0), "batch"),
  binary("a head that is cut", cut(plain, 41), "batch"),
  binary("content that is cut", cut(plain, plain.length - 1), "batch.contentBytes"),
  binary(
    "another magic",
    sealed(plain, (bytes) => bytes.writeUInt8(0x55, 0)),
    "batch.magic",
  ),
  binary(
    "version 2",
    sealed(plain, (bytes) => bytes.writeUInt8(2, 1)),
    "batch.version",
  ),
  binary(
    "an unknown flag",
    sealed(plain, (bytes) => bytes.writeUInt16BE(2, 6)),
    "batch.flags",
  ),
  binary(
    "another checksum",
    Uint8Array.from(plain, (byte, at) => (at === 4 ? byte ^ 1 : byte)),
    "batch.checksum",
  ),
  binary(
    "a body that was changed on its way",
    Uint8Array.from(plain, (byte, at) => (at === plain.length - 1 ? byte ^ 1 : byte)),
    "batch.checksum",
  ),
  binary(
    "count 0",
    sealed(plain, (bytes) => bytes.writeUInt16BE(0, 12)),
    "batch.count",
  ),
  binary(
    "count 1,025",
    sealed(plain, (bytes) => bytes.writeUInt16BE(1_025, 12)),
    "batch.count",
  ),
  binary(
    "a count too low",
    sealed(plain, (bytes) => bytes.writeUInt16BE(1, 12)),
    "batch.content",
  ),
  binary(
    "a count too high",
    sealed(plain, (bytes) => bytes.writeUInt16BE(3, 12)),
    /^(batch\.content\.)?messages/,
  ),
  binary(
    "a length beyond the end",
    sealed(plain, (bytes) => bytes.writeUInt32BE(99, 8)),
    "batch.contentBytes",
  ),
  binary("bytes behind it", Buffer.concat([plain, Uint8Array.of(0)]), "batch"),
  binary("two of them", Buffer.concat([plain, plain]), "batch"),
  binary(
    "gzip that is none",
    sealed(plain, (bytes) => bytes.writeUInt16BE(1, 6)),
    "batch.content",
  ),
  binary(
    "gzip that is not said to be",
    sealed(compressed(plain), (bytes) => bytes.writeUInt16BE(0, 6)),
    /^(batch\.content\.)?messages/,
  ),
  binary(
    "gzip that is cut",
    sealed(withContent(plain, cut(gzipSync(plain.subarray(42)), 20)), (bytes) =>
      bytes.writeUInt16BE(1, 6),
    ),
    "batch.content",
  ),
  binary(
    "gzip that becomes more than a batch may be",
    gzipped(new Uint8Array(limits.contentBytesMax + 1)),
    "batch.content",
  ),
  binary("gzip of other content", gzipped(Uint8Array.of(1, 2, 3)), /^(batch\.content\.)?messages/),
  binary("a message of no bytes", content([0]), "messages[0].flags"),
  binary(
    "a message longer than the content",
    content([9, 0, 0, 1]),
    /^(batch\.content\.)?messages/,
  ),
  binary("a message with unknown flags", content(raw(32, 0, 1)), "messages[0].flags"),
  binary("a varint that is too long", content([0x83, 0, 0, 0, 1]), /^(batch\.content\.)?messages/),
  binary(
    "a varint beyond 2^53",
    content(raw(0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1)),
    "messages[0].bornAt",
  ),
  binary("a tag that is no UTF-8", content(raw(2, 0, 1, 0xff, 1)), "messages[0].tag"),
  binary("a tag longer than the message", content(raw(2, 0, 9, 0x61)), "messages[0].tag"),
  binary("a list of no keys", content(raw(4, 0, 0, 1)), "messages[0].keys"),
  binary("more keys than may be", content(raw(4, 0, 65, 1)), "messages[0].keys"),
  binary(
    "a property twice",
    content(raw(8, 0, 2, 1, 0x61, 1, 0x62, 1, 0x61, 1, 0x63, 1)),
    "messages[0].properties",
  ),
  binary("an empty body", inside({ body: new Uint8Array(0) }), "messages[1].body"),
  binary("a control character in a tag", inside({ tag: "\n" }), "messages[1].tag"),
  binary("a tag with |", inside({ tag: "a|b" }), "messages[1].tag"),
  binary("a key with a space", inside({ keys: ["a b"] }), "messages[1].keys"),
  binary(
    "a control character in a property",
    inside({ properties: { a: "\u007f" } }),
    "messages[1].properties.a",
  ),
  binary(
    "properties of more than 16 KB",
    inside({ properties: { a: "x".repeat(16_384) } }),
    "messages[1].properties",
    tooLarge,
  ),
  binary("an id of 129 bytes", inside({ messageId: "x".repeat(129) }), "messages[1].messageId"),
  binary(
    "a message group of 64 bytes",
    inside({ messageGroup: "x".repeat(64) }),
    "messages[1].messageGroup",
  ),
  binary(
    "birth before the epoch",
    withContent(
      plain,
      encodeMessages(
        [
          { body: text("x"), bornAt: -1 },
          { body: text("x"), bornAt },
        ],
        bornAt,
      ),
    ),
    "messages[0].bornAt",
  ),
  binary(
    "an old first attempt",
    batchOf([{ body: text("x") }], { firstAttemptAt: 1 }),
    "firstAttemptAt",
    { code: "retry_window_passed" },
  ),
  binary(
    "a first attempt in the future",
    batchOf([{ body: text("x") }], { firstAttemptAt: 2 ** 47 }),
    "firstAttemptAt",
    { code: "clock_skew" },
  ),
  binary(
    "groups of two queues",
    batchOf(["a", "b", "c", "d", "e"].map((messageGroup) => ({ body: text("x"), messageGroup }))),
    /messages\[\d\]\.messageGroup/,
  ),
  binary(
    "a group of another queue than the one named",
    inside({ messageGroup: "a" }),
    "messages[1].messageGroup",
    { path: `${messagesPath}?queue=0` },
  ),
  binary("queue and message group", plain, "queue", {
    path: `${messagesPath}?queue=0&messageGroup=a`,
  }),
  binary("a queue that is not there", plain, "queue", {
    path: `${messagesPath}?queue=4`,
    status: 404,
    code: "queue_not_found",
  }),
  binary("attempt=0", plain, "attempt", { path: `${messagesPath}?attempt=0` }),
  binary("an unknown query", plain, "x", { path: `${messagesPath}?x=1` }),
  binary(
    "one message above 4 MB",
    batchOf([{ body: new Uint8Array(4_300_000) }]),
    "batch",
    tooLarge,
  ),
  binary(
    "several above 4 MB",
    batchOf([{ body: new Uint8Array(2_200_000) }, { body: new Uint8Array(2_200_000) }]),
    "batch",
    { status: 413, code: "batch_too_large" },
  ),
  binary("messages without group for a FIFO topic", plain, "messages[0]", {
    path: "/v1/topics/fifo/messages",
    ...mismatch,
  }),
  binary("messages that do not wait for a DELAY topic", plain, "messages[0]", {
    path: "/v1/topics/delay/messages",
    ...mismatch,
  }),
];

export const badRequests: readonly BadRequest[] = [
  ...json,
  ...urls,
  ...binaries,
  ...badForwards,
  ...badTransactions,
];
