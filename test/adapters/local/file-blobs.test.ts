import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { blobPath } from "../../../src/adapters/local/blob-paths.ts";
import { FileBlobs } from "../../../src/adapters/local/file-blobs.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { runBlobsContract } from "../../contract/blobs.contract.ts";
import { makeTemporaryFolder, type TemporaryFolder } from "./temporary-folder.ts";

runBlobsContract({
  async create() {
    const folder = await makeTemporaryFolder();
    const options = { folder: join(folder.path, "data"), clock: new ManualClock() };
    const blobs = await FileBlobs.open(options);
    const other = await FileBlobs.open(options);
    return { blobs, other, close: folder.remove };
  },
});

describe("FileBlobs", () => {
  const clock = new ManualClock();
  let folder: TemporaryFolder;

  beforeEach(async () => {
    folder = await makeTemporaryFolder();
  });
  afterEach(() => folder.remove());

  const openBlobs = () => FileBlobs.open({ folder: folder.path, clock });

  it("removes temporary files that are older than an hour when it is opened, and lists none", async () => {
    const temporary = join(folder.path, "temporary");
    await mkdir(temporary);
    const seconds = clock.now() / 1_000;
    for (const [name, age] of [
      ["old", 3_601],
      ["young", 3_599],
    ] as const) {
      await writeFile(join(temporary, name), "half a bl");
      await utimes(join(temporary, name), seconds - age, seconds - age);
    }
    const blobs = await openBlobs();
    expect(await readdir(temporary)).toEqual(["young"]);
    expect(await blobs.list("", { limit: 9 })).toEqual({ blobs: [], more: false });
  });

  it("leaves no temporary file behind, whatever the put was answered", async () => {
    const blobs = await openBlobs();
    await blobs.put("a/b", Uint8Array.of(1));
    await blobs.put("a/b", Uint8Array.of(1));
    expect(await readdir(join(folder.path, "temporary"))).toEqual([]);
  });

  it("passes over files that are not its own", async () => {
    const blobs = await openBlobs();
    await blobs.put("a/b", Uint8Array.of(1));
    await writeFile(join(folder.path, "blobs", "a", ".DS_Store"), "x");
    expect((await blobs.list("", { limit: 9 })).blobs).toEqual([{ key: "a/b", bytes: 1 }]);
  });

  it("throws Unavailable where the folder cannot be written", async () => {
    const blobs = await openBlobs();
    await writeFile(join(folder.path, "blobs", "a"), "a file where a folder should be");
    await expect(blobs.put("a/b", Uint8Array.of(1))).rejects.toBeInstanceOf(Unavailable);
  });

  it("gives blobs paths that every file system takes", () => {
    expect(blobPath("segments/3/0/00ff")).toBe("segments/3/0/00ff=");
    expect(blobPath("aBc/D")).toBe("a^bc/^d=");
    expect(blobPath("x".repeat(240))).toBe(`${"x".repeat(240)}=`);
    expect(blobPath("x".repeat(241))).toBe(`${"x".repeat(240)}+/x=`);
    for (const part of blobPath("Y".repeat(512)).split("/")) {
      expect(part.length).toBeLessThanOrEqual(255);
    }
  });
});
