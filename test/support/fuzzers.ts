import fc from "fast-check";
import { batchHeadBytes } from "../../src/broker/log/batch.ts";
import { anyEncodedBatch } from "./arbitraries.ts";
import { batchOf, compressed, sealed } from "./batches.ts";
import { type Answer, batchType, type CallOptions, call } from "./http-client.ts";

/** How often each status was answered. */
export type Tally = Map<number, number>;

export interface FuzzOptions {
  readonly url: string;
  readonly seed: number;
  readonly runs: number;
}

interface FuzzedRequest {
  readonly method: string;
  readonly path: string;
  readonly options: CallOptions;
}

/** The topic that fuzzed messages go to. */
export const fuzzTopic = "fuzzed";

export async function prepareFuzz(url: string): Promise<void> {
  await call(url, "PUT", `/v1/topics/${fuzzTopic}`, { json: { queues: 4 } });
}

/** Sends valid JSON requests with something changed in them. Fails where an answer is 500 or more. */
export function fuzzJson(options: FuzzOptions): Promise<Tally> {
  return fuzz(options, changedRequest);
}

/** Sends batches with some bytes changed, half of them under a checksum that fits. */
export function fuzzBatches(options: FuzzOptions): Promise<Tally> {
  return fuzz(options, changedBatch);
}

async function fuzz(
  { url, seed, runs }: FuzzOptions,
  requests: fc.Arbitrary<FuzzedRequest>,
): Promise<Tally> {
  const tally: Tally = new Map();
  await fc.assert(
    fc.asyncProperty(requests, async ({ method, path, options }) => {
      const answer = await call(url, method, path, options);
      tally.set(answer.status, (tally.get(answer.status) ?? 0) + 1);
      expectTold(answer);
    }),
    { seed, numRuns: runs },
  );
  return tally;
}

function expectTold({ status, json, headers }: Answer): void {
  if (status >= 500) throw new Error(`${status}: ${JSON.stringify(json)}`);
  if (headers.get("x-request-id") === null) throw new Error("an answer without x-request-id");
  if (status < 400) return;
  if (typeof json?.code !== "string" || typeof json.requestId !== "string")
    throw new Error(`${status} without a code: ${JSON.stringify(json)}`);
}

const validRequests = (now: number): readonly { method: string; path: string; json: object }[] => [
  {
    method: "POST",
    path: `/v1/topics/${fuzzTopic}/messages`,
    json: {
      messages: [
        {
          body: "hello",
          bodyEncoding: "utf8",
          tag: "created",
          keys: ["a", "b"],
          properties: { region: "eu" },
          messageId: "id",
          bornAt: now,
          queue: 1,
        },
        {
          body: "aGVsbG8=",
          bodyEncoding: "base64",
          messageGroup: "g",
          bornAt: "2026-01-01T00:00:00Z",
        },
      ],
      batchId: "00112233445566778899aabbccddeeff",
      firstAttemptAt: now,
      attempt: 1,
    },
  },
  {
    method: "POST",
    path: `/v1/topics/${fuzzTopic}/messages`,
    json: {
      messages: [
        { body: "a", tag: "t", messageGroup: "g" },
        { body: "b", keys: ["k"] },
      ],
    },
  },
  {
    method: "POST",
    path: `/v1/topics/${fuzzTopic}/messages`,
    json: {
      messages: [
        // Due when all is read, so that nothing comes in between.
        { body: "a", delayMs: 3_600_000 },
        { body: "b", delayLevel: 18, messageGroup: "g" },
        { body: "c", deliverAt: now + 3_600_000, queue: 2 },
      ],
    },
  },
  {
    method: "POST",
    path: `/v1/topics/${fuzzTopic}/transactions`,
    json: {
      message: { body: "a", delayMs: 3_600_000, messageGroup: "g" },
      producerGroup: "fuzzers",
      checkAfterMs: 3_600_000,
      batchId: "00112233445566778899aabbccddeeff",
      firstAttemptAt: now,
    },
  },
  { method: "POST", path: "/v1/producer-groups/fuzzers/checks", json: { max: 3, waitMs: 0 } },
  {
    method: "PUT",
    path: "/v1/producer-groups/fuzzers",
    json: { checkEveryMs: 30_000, checksMax: 15 },
  },
  {
    method: "PUT",
    path: "/v1/topics/other",
    json: { queues: 4, type: "MIXED", retentionMs: 60_000, writable: true },
  },
  { method: "PATCH", path: `/v1/topics/${fuzzTopic}`, json: { queues: 4, retentionMs: 90_000 } },
  { method: "POST", path: `/v1/topics/${fuzzTopic}/seal`, json: { queue: 1 } },
  { method: "PUT", path: `/v1/groups/g/offsets/${fuzzTopic}`, json: { offsets: { 0: 1, 3: 2 } } },
];

const strange = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.integer(),
  fc.double(),
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("\ud800", "\u0000", "|", " ", "%", "a") }),
  fc.constantFrom(null, true, "", -1, 0, 2 ** 53, 1e308, [], {}, "__proto__", "x".repeat(5_000)),
);

function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
}

const change = fc.oneof(
  fc.record({ kind: fc.constant("replace" as const), at: fc.nat(), value: strange }),
  fc.record({ kind: fc.constant("remove" as const), at: fc.nat() }),
  fc.record({
    kind: fc.constant("add" as const),
    at: fc.nat(),
    name: fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "toString")),
    value: strange,
  }),
);

const changedValue = fc
  .record({
    which: fc.nat(),
    changes: fc.array(change, { minLength: 1, maxLength: 3 }),
    /** Changes of the text itself: place, and what stands there then. */
    text: rarely(fc.tuple(fc.nat(), fc.string({ unit: "binary", maxLength: 3 }))),
    query: rarely(fc.string({ unit: "binary", maxLength: 10 })),
  })
  .map(({ which, changes, text, query }) => {
    const requests = validRequests(Date.now());
    const { method, path, json } = requests[which % requests.length] as (typeof requests)[number];
    for (const each of changes) apply(each, json);
    let body = JSON.stringify(json);
    if (text !== null) {
      const at = text[0] % body.length;
      body = body.slice(0, at) + text[1] + body.slice(at + 1);
    }
    const suffix = query === null ? "" : `?${encodeURIComponent(query)}=1`;
    return { method, path: `${path}${suffix}`, options: { body, type: "application/json" } };
  });

const changedPull = fc
  .record({
    queue: fc.oneof(fc.nat(5), fc.string({ unit: "binary", minLength: 1, maxLength: 5 })),
    offset: fc.oneof(fc.integer({ min: -2, max: 50 }), fc.double(), fc.string({ unit: "binary" })),
    max: fc.oneof(fc.integer({ min: -2, max: 2_000 }), fc.string()),
  })
  .map(({ queue, offset, max }) => {
    const query = new URLSearchParams({ offset: `${offset}`, max: `${max}` });
    const path = `/v1/topics/${fuzzTopic}/queues/${encodeURIComponent(queue)}/messages?${query}`;
    return { method: "GET", path, options: {} };
  });

const instantText = fc.oneof(
  fc.integer({ min: -1, max: 2 ** 48 }),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.string(),
);

const changedLookUp = fc
  .record({
    what: fc.constantFrom("search", "queues/1/offset"),
    fields: fc.dictionary(
      fc.constantFrom("key", "messageId", "at", "from", "to", "limit", "cursor"),
      fc.oneof(instantText, fc.constantFrom("a", "k", "id", `${"0".repeat(28)}`), fc.string()),
      { minKeys: 1, maxKeys: 3 },
    ),
  })
  .map(({ what, fields }) => {
    const query = new URLSearchParams();
    for (const [field, value] of Object.entries(fields)) query.set(field, `${value}`);
    return { method: "GET", path: `/v1/topics/${fuzzTopic}/${what}?${query}`, options: {} };
  });

const changedRequest: fc.Arbitrary<FuzzedRequest> = fc.oneof(
  { weight: 4, arbitrary: changedValue },
  { weight: 1, arbitrary: changedPull },
  { weight: 1, arbitrary: changedLookUp },
);

/** Every object and array in a JSON value. */
function holders(value: unknown): Record<string, unknown>[] {
  if (typeof value !== "object" || value === null) return [];
  const own = value as Record<string, unknown>;
  return [own, ...Object.values(own).flatMap(holders)];
}

function apply(each: typeof change extends fc.Arbitrary<infer T> ? T : never, json: object): void {
  const all = holders(json);
  const holder = all[each.at % all.length] as Record<string, unknown>;
  const fields = Object.keys(holder);
  const field = fields[each.at % Math.max(1, fields.length)];
  if (each.kind === "add") {
    // Defined, not assigned: it may be called __proto__.
    Object.defineProperty(holder, each.name, {
      value: structuredClone(each.value),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  } else if (field !== undefined) {
    if (each.kind === "remove") delete holder[field];
    else holder[field] = structuredClone(each.value);
  }
}

const acceptable = fc.record({
  bodies: fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 4 }),
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  tag: fc.constantFrom(undefined, "created"),
});

const changedBatch: fc.Arbitrary<FuzzedRequest> = fc
  .record({
    batch: fc.oneof(
      acceptable.map(({ bodies, id, tag }) =>
        batchOf(
          bodies.map((body) => ({ body, ...(tag === undefined ? {} : { tag, keys: ["k"] }) })),
          { id },
        ),
      ),
      anyEncodedBatch,
    ),
    gzip: fc.boolean(),
    fits: fc.boolean(),
    flips: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { maxLength: 4 }),
    inContent: fc.boolean(),
    cutTo: rarely(fc.nat()),
    query: fc.constantFrom("", "?queue=1", "?messageGroup=g", "?attempt=1"),
  })
  .map(({ batch, gzip, fits, flips, inContent, cutTo, query }) => {
    const encoded = gzip ? compressed(batch) : batch;
    const flip = (bytes: Buffer) => {
      for (const [place, by] of flips) {
        const first = inContent ? batchHeadBytes : 0;
        const at = first + (place % Math.max(1, bytes.length - first));
        if (at < bytes.length) bytes.writeUInt8(bytes.readUInt8(at) ^ by, at);
      }
    };
    const changed = Buffer.from(encoded);
    flip(changed);
    const whole = fits ? sealed(encoded, flip) : changed;
    const body = cutTo === null ? whole : whole.subarray(0, cutTo % (whole.length + 1));
    const path = `/v1/topics/${fuzzTopic}/messages${query}`;
    return { method: "POST", path, options: { body, type: batchType } };
  });
