import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { NodeCompression } from "../../src/adapters/local/node-compression.ts";
import { decodeBatch, encodeBatch, readBatch } from "../../src/broker/log/batch.ts";
import { comparable } from "../support/arbitraries.ts";
import { goldenBatches } from "./batches.ts";

describe.each(goldenBatches)("the golden file $file", ({ file, gzip, batch }) => {
  const bytes = readFileSync(new URL(file, import.meta.url));

  it("decodes to what it was made of", async () => {
    const read = readBatch(bytes);
    expect(read).toMatchObject({
      compressed: gzip,
      count: batch.messages.length,
      firstAttemptAt: batch.firstAttemptAt,
      bornAt: batch.bornAt,
    });
    expect(read.bytes).toHaveLength(bytes.length);
    expect([...read.id]).toEqual([...batch.id]);
    const messages = await decodeBatch(read, new NodeCompression());
    expect(messages.map(comparable)).toEqual(batch.messages.map(comparable));
  });
});

// Compressors differ in their bytes, so those of a compressed batch are nobody's contract.
it.each(goldenBatches.filter(({ gzip }) => !gzip))(
  "the golden file $file is encoded again byte for byte",
  ({ file, batch }) => {
    const bytes = readFileSync(new URL(file, import.meta.url));
    expect(Buffer.from(encodeBatch(batch)).toString("hex")).toBe(bytes.toString("hex"));
  },
);

describe("docs/batch-format.md", () => {
  it("shows the bytes of plain.bin", () => {
    const page = readFileSync(new URL("../../docs/batch-format.md", import.meta.url), "utf8");
    const [example = ""] = page.split("<!-- plain.bin -->").slice(1);
    const shown = [...example.matchAll(/^\| \d+ +\| `([0-9a-f ]+)` +\|/gm)].map(([, hex]) => hex);
    const bytes = readFileSync(new URL("plain.bin", import.meta.url)).toString("hex");
    expect(shown.join("").replaceAll(" ", "")).toBe(bytes);
  });
});
