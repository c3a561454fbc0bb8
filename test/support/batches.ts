import { gzipSync } from "node:zlib";
import { crc32c } from "../../src/broker/crc32c.ts";
import {
  batchChecksumAt,
  batchChecksummedFrom,
  batchHeadBytes,
  encodeBatch,
} from "../../src/broker/log/batch.ts";
import type { Message } from "../../src/broker/log/message.ts";

/** A batch with some of its bytes changed and a checksum that fits all the same: wrong, but not by accident. */
export function sealed(batch: Uint8Array, change: (bytes: Buffer) => void): Uint8Array {
  const bytes = Buffer.from(batch);
  change(bytes);
  if (bytes.length >= batchHeadBytes)
    bytes.writeUInt32BE(crc32c(bytes, batchChecksummedFrom), batchChecksumAt);
  return bytes;
}

/** The same batch with other content. */
export function withContent(batch: Uint8Array, content: Uint8Array): Uint8Array {
  return sealed(Buffer.concat([batch.subarray(0, batchHeadBytes), content]), (bytes) =>
    bytes.writeUInt32BE(content.length, 8),
  );
}

/** The same batch with its content compressed. */
export function compressed(batch: Uint8Array): Uint8Array {
  const content = gzipSync(batch.subarray(batchHeadBytes), { level: 9 });
  return sealed(withContent(batch, content), (bytes) => bytes.writeUInt16BE(1, 6));
}

/** A batch of plain messages; `id` is repeated to 16 bytes. */
export function batchOf(
  messages: readonly (Partial<Message> & { readonly body: Uint8Array })[],
  options: {
    readonly id?: Uint8Array;
    readonly firstAttemptAt?: number;
    readonly bornAt?: number;
  } = {},
): Uint8Array {
  const {
    id = new Uint8Array(16).fill(7),
    firstAttemptAt = 0,
    bornAt = 1_700_000_000_000,
  } = options;
  return encodeBatch({
    id,
    firstAttemptAt,
    bornAt,
    messages: messages.map((message) => ({ bornAt, ...message })),
  });
}
