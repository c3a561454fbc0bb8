import { randomFillSync } from "node:crypto";
import { writeU32, writeU48 } from "../../src/broker/bytes.ts";
import { crc32c } from "../../src/broker/crc32c.ts";
import { batchIdBytes, encodeBatch, readBatch } from "../../src/broker/log/batch.ts";
import type { RequestSource } from "./load.ts";

export const topic = "bench";
export const batchType = "application/vnd.tasso.batch.v1";
export const batchesType = "application/vnd.tasso.batches.v1";

/** A message of 1 KB as an application would send it: mostly body, with a tag and a key. */
const bodyBytesDefault = 1_000;
const tag = "created";

/** Of a batch, as docs/batch-format.md has it. What a new batch changes lies between `firstAttemptAt` and the content. */
const at = { checksum: 2, checksummed: 6, firstAttemptAt: 14, id: 26, content: 42 } as const;

/** Sends in binary: each request a batch with an id of its own, made now, for the queue that its id chooses. */
export function binarySends(
  messages: number,
  options: { queue?: number; bodyBytes?: number } = {},
): RequestSource {
  const template = encodeBatch({
    id: new Uint8Array(batchIdBytes),
    firstAttemptAt: 0,
    bornAt: Date.now(),
    messages: Array.from({ length: messages }, (_, index) => ({
      body: Buffer.from(bodyText(index, options.bodyBytes)),
      bornAt: Date.now(),
      tag,
      keys: [keyOf(index)],
    })),
  });
  const checksum = new PatchedChecksum(template);
  const query = options.queue === undefined ? "" : `&queue=${options.queue}`;
  const head = requestHead(
    `POST /v1/topics/${topic}/messages?attempt=1${query}`,
    `content-type: ${batchType}\r\ncontent-length: ${template.length}\r\n`,
  );
  const requests: Buffer[] = [];
  const source = (connection: number) => {
    requests[connection] ??= Buffer.concat([head, template]);
    const request = requests[connection];
    const batch = request.subarray(head.length);
    randomFillSync(batch, at.id, batchIdBytes);
    writeU48(batch, at.firstAttemptAt, Date.now());
    writeU32(batch, at.checksum, checksum.of(batch));
    return request;
  };
  readBatch(source(0).subarray(head.length)); // Throws where the patching is wrong.
  requests.length = 0;
  return source;
}

/** The same in JSON. */
export function jsonSends(messages: number): RequestSource {
  const list = Array.from({ length: messages }, (_, index) => ({
    body: bodyText(index),
    tag,
    keys: [keyOf(index)],
  }));
  const json = { batchId: "0".repeat(32), firstAttemptAt: 10 ** 12, attempt: 1, messages: list };
  const body = Buffer.from(JSON.stringify(json));
  const idAt = body.indexOf("0".repeat(32));
  const firstAttemptAt = body.indexOf(String(10 ** 12));
  const head = requestHead(
    `POST /v1/topics/${topic}/messages`,
    `content-type: application/json\r\ncontent-length: ${body.length}\r\n`,
  );
  const requests: Buffer[] = [];
  const id = Buffer.alloc(batchIdBytes);
  return (connection) => {
    requests[connection] ??= Buffer.concat([head, body]);
    const request = requests[connection];
    request.write(randomFillSync(id).toString("hex"), head.length + idAt, "latin1");
    request.write(String(Date.now()), head.length + firstAttemptAt, "latin1");
    return request;
  };
}

/** Where a pull begins. */
export interface Place {
  readonly queue: number;
  readonly offset: number;
}

/** Pulls of `messages` messages, from the places in turn. */
export function pulls(
  places: readonly Place[],
  { format, messages }: { format: "binary" | "json"; messages: number },
): RequestSource {
  const accept = `accept: ${acceptOf(format)}\r\n`;
  const requests = places.map((place) => requestHead(`GET ${pullPath(place, messages)}`, accept));
  let next = 0;
  return () => requests[next++ % requests.length] as Buffer;
}

export function acceptOf(format: "binary" | "json"): string {
  return format === "binary" ? batchesType : "application/json";
}

export function pullPath({ queue, offset }: Place, messages: number): string {
  return `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&max=${messages}`;
}

function requestHead(line: string, headers: string): Buffer {
  return Buffer.from(`${line} HTTP/1.1\r\nhost: 127.0.0.1\r\n${headers}\r\n`, "latin1");
}

function bodyText(index: number, bodyBytes = bodyBytesDefault): string {
  const text = `{"order":${index},"customer":"Francesco Tasso","note":"from Innsbruck to Mechelen"} `;
  return text.repeat(Math.ceil(bodyBytes / text.length)).slice(0, bodyBytes);
}

function keyOf(index: number): string {
  return `order-${String(index).padStart(8, "0")}`;
}

/**
 * The checksum of a template whose head was patched, without a walk over its content: a CRC is linear, so what each
 * byte of the patch does to it is looked up. The load generator shares the machine with the servers and has to be cheap.
 */
class PatchedChecksum {
  readonly #unpatched: number;
  readonly #effects: readonly Uint32Array[];

  constructor(template: Uint8Array) {
    const blank = template.slice();
    blank.fill(0, at.firstAttemptAt, at.firstAttemptAt + 6);
    blank.fill(0, at.id, at.content);
    this.#unpatched = crc32c(blank, at.checksummed);
    this.#effects = patchedPlaces.map((place) => {
      const effects = new Uint32Array(256);
      for (let bit = 1; bit < 256; bit *= 2) {
        blank[place] = bit;
        const effect = crc32c(blank, at.checksummed) ^ this.#unpatched;
        for (let lower = 0; lower < bit; lower++)
          effects[bit + lower] = effect ^ (effects[lower] ?? 0);
      }
      blank[place] = 0;
      return effects;
    });
  }

  of(batch: Uint8Array): number {
    let checksum = this.#unpatched;
    for (let index = 0; index < patchedPlaces.length; index++)
      checksum ^= this.#effects[index]?.[batch[patchedPlaces[index] ?? 0] ?? 0] ?? 0;
    return checksum >>> 0;
  }
}

const patchedPlaces: readonly number[] = [
  ...Array.from({ length: 6 }, (_, index) => at.firstAttemptAt + index),
  ...Array.from({ length: batchIdBytes }, (_, index) => at.id + index),
];
