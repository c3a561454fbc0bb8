import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { functionFor } from "../../functions/rights.ts";
import { bundleFunctions, functionEntries } from "../../scripts/bundle-functions.mjs";
import { type FunctionSize, sizesOf } from "../../scripts/bundle-sizes.ts";
import { operations } from "../../src/api/operations.ts";
import { sendOperations } from "../../src/api/send-operations.ts";
import { transactOperations } from "../../src/api/transact-operations.ts";

const KB = 1_024;

describe("the bundles", () => {
  const folder = mkdtempSync(join(tmpdir(), "tasso-bundles-"));
  let sizes: Map<string, FunctionSize>;
  beforeAll(async () => {
    sizes = sizesOf(await bundleFunctions({ outdir: folder }));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("are one for each function that an operation is served by", () => {
    for (const { right } of operations) expect(functionEntries).toContain(functionFor(right));
    expect([...sizes.keys()].sort()).toEqual([...functionEntries].sort());
  });

  it("load at most 400 KB for a send that starts cold, and 600 KB with all that may come later", () => {
    expect(sizes.get("send")?.atStart).toBeLessThanOrEqual(400 * KB);
    expect(sizes.get("send")?.ever).toBeLessThanOrEqual(600 * KB);
    for (const [name, { atStart, ever }] of sizes) {
      expect(atStart, name).toBeLessThanOrEqual(520 * KB);
      expect(ever, name).toBeLessThanOrEqual(750 * KB);
    }
  });

  it("serve every operation that a sender, or a producer of transactions, may ask", () => {
    expect(operations.filter(({ right }) => right === "send")).toEqual(sendOperations);
    expect(operations.filter(({ right }) => right === "transact")).toEqual(transactOperations);
  });

  it("load what only some calls need when they need it", () => {
    const files = readdirSync(join(folder, "shared"));
    expect(files.some((file) => file.startsWith("s3-blobs"))).toBe(true);
    expect(files.some((file) => file.startsWith("scheduler-alarm"))).toBe(true);
  });
});
