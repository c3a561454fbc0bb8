/*
 * Writes the golden files again: test/golden/*.bin and docs/hash-vectors.json. They are the contract for clients in
 * other languages, so a change of one that exists is a change of the format: it needs a new version, not a new file.
 *
 *   node --import tsx scripts/golden.ts
 */
import { writeFile } from "node:fs/promises";
import siphash from "siphash";
import { encodeBatch } from "../src/broker/log/batch.ts";
import { queueOfGroup } from "../src/broker/topics/queue-choice.ts";
import { goldenBatches } from "../test/golden/batches.ts";
import { compressed } from "../test/support/batches.ts";

for (const { file, batch, gzip } of goldenBatches) {
  const bytes = encodeBatch(batch);
  await write(`../test/golden/${file}`, gzip ? compressed(bytes) : bytes);
}

const groups = [
  "a",
  "0",
  " ",
  "-",
  "order-1",
  "order-2",
  "customer/4711",
  "1234567",
  "12345678",
  "123456789",
  "The quick brown fox",
  "tasso",
  "Müller",
  "ÄÖÜäöüß",
  "Größe 42",
  "naïve café",
  "東京",
  "🐎",
  "👩‍👩‍👧 family",
  "x".repeat(63),
];
const key = Uint32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);
const vectors = groups.map((group) => {
  const { h, l } = siphash.hash(key, group);
  const sipHash = [h, l].map((word) => word.toString(16).padStart(8, "0")).join("");
  return { group, sipHash, queueOf8: queueOfGroup(group, 8), queueOf64: queueOfGroup(group, 64) };
});
const about =
  "SipHash-2-4 with the key bytes 00 to 0f over the UTF-8 bytes of the message group, as 16 hexadecimal digits of the 64-bit number; modulo 8 and 64 queues. See batch-format.md.";
await write("../docs/hash-vectors.json", `${JSON.stringify({ about, vectors }, undefined, 2)}\n`);

async function write(path: string, content: Uint8Array | string): Promise<void> {
  await writeFile(new URL(path, import.meta.url), content);
  process.stdout.write(`${path} ${Buffer.byteLength(content)} bytes\n`);
}
