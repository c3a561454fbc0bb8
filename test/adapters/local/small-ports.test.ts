import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { NodeCompression } from "../../../src/adapters/local/node-compression.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../../../src/adapters/local/system-random.ts";

describe("NodeCompression", () => {
  const { gunzip } = new NodeCompression();
  const plain = new Uint8Array(1_000).fill(7);
  const packed = gzipSync(plain);

  it("unpacks up to the limit and not a byte more", async () => {
    expect(await gunzip(packed, 1_000)).toEqual(plain);
    await expect(gunzip(packed, 999)).rejects.toThrow();
  });

  it("rejects what is no gzip or is cut short", async () => {
    await expect(gunzip(plain, 1_000)).rejects.toThrow();
    await expect(gunzip(packed.subarray(0, packed.length - 1), 1_000)).rejects.toThrow();
    await expect(gunzip(new Uint8Array(), 1_000)).rejects.toThrow();
  });
});

describe("SystemClock", () => {
  const clock = new SystemClock();

  it("tells whole milliseconds", () => {
    expect(Number.isInteger(clock.now())).toBe(true);
  });

  it("wakes a sleeper whose signal aborts, also one that sleeps for a year", async () => {
    const stop = new AbortController();
    const sleep = clock.sleep(365 * 86_400_000, stop.signal);
    stop.abort();
    await sleep;
    await clock.sleep(60_000, stop.signal);
  });
});

describe("SystemRandom", () => {
  it("draws as many bytes as asked, others each time", () => {
    const random = new SystemRandom();
    expect(random.bytes(100_000)).toHaveLength(100_000);
    expect(random.bytes(16)).not.toEqual(random.bytes(16));
  });
});
