import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { S3Blobs } from "../../../src/adapters/aws/s3-blobs.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { hastyClock } from "./hasty-clock.ts";
import { AwsStub, type StubFault } from "./stub/aws-stub.ts";
import { s3Error } from "./stub/s3-stub.ts";

describe("S3Blobs", () => {
  const clock = new SystemClock();
  let stub: AwsStub;
  let blobs: S3Blobs;
  /** For what takes seconds. */
  let hasty: S3Blobs;

  beforeEach(async () => {
    stub = await AwsStub.start(clock);
    blobs = new S3Blobs({ bucket: "bucket", clock, client: stub.client });
    hasty = new S3Blobs({ bucket: "bucket", clock: hastyClock(20), client: stub.client });
  });
  afterEach(async () => {
    blobs.close();
    hasty.close();
    await stub.stop();
  });

  const mine = bytes("mine");
  /** Before the second request something happens to the object. */
  const beforeSecond = (happens: () => void) => {
    const { plan } = stub;
    stub.plan = (operation, request) => {
      if (stub.requests.length === 2) happens();
      return plan(operation, request);
    };
  };

  it("puts with one request, and is told of another's blob with one", async () => {
    expect(await blobs.put("a", mine)).toBe("stored");
    expect(await blobs.put("a", mine)).toBe("exists");
    expect(stub.requests).toEqual(["PutObject", "PutObject"]);
  });

  it.each(["swallow", "fail-after"] as const)(
    "recognises its own first attempt: %s",
    async (fault) => {
      stub.next("PutObject", fault);
      expect(await blobs.put("a", mine)).toBe("stored");
      expect(stub.requests).toEqual(["PutObject", "PutObject", "HeadObject"]);
    },
  );

  it("puts again what was lost on its way", async () => {
    stub.next("PutObject", "lose");
    expect(await blobs.put("a", mine)).toBe("stored");
    expect(stub.requests).toEqual(["PutObject", "PutObject"]);
  });

  it.each(["stall", "stall-after"] as const)("gives up what is not answered: %s", async (fault) => {
    stub.next("PutObject", fault);
    expect(await hasty.put("a", mine)).toBe("stored");
    stub.next("GetObject", "stall");
    expect(await hasty.get("a", { start: 1, length: 2 })).toEqual(bytes("in"));
    stub.next("ListObjectsV2", "stall");
    expect((await hasty.list("", { limit: 1 })).blobs).toHaveLength(1);
    stub.next("DeleteObject", fault);
    await hasty.delete("a");
    expect(stub.s3.objects.size).toBe(0);
  });

  it("does not take the same bytes of somebody else for its own", async () => {
    stub.next("PutObject", "lose");
    beforeSecond(() => stub.s3.objects.set("a", { bytes: Buffer.from(mine), metadata: {} }));
    expect(await blobs.put("a", mine)).toBe("exists");
  });

  it("does not know whose it was where it has been deleted since", async () => {
    stub.next("PutObject", "swallow");
    stub.next("HeadObject", { status: 404 });
    expect(await blobs.put("a", mine)).toBe("unknown");
  });

  it("looks again after a conflict, and then finds a blob or none", async () => {
    const conflict = s3Error(409, "ConditionalRequestConflict");
    stub.next("PutObject", conflict, conflict);
    expect(await blobs.put("a", mine)).toBe("stored");
    stub.next("PutObject", conflict);
    expect(await blobs.put("a", bytes("other"))).toBe("exists");
    expect(await blobs.get("a")).toEqual(mine);
  });

  it("is Unavailable where S3 only ever slows down, unknown where it only ever fails", async () => {
    stub.plan = () => s3Error(503, "SlowDown");
    await expect(hasty.put("a", mine)).rejects.toBeInstanceOf(Unavailable);
    await expect(hasty.get("a", { start: 0, length: 1 })).rejects.toBeInstanceOf(Unavailable);
    await expect(hasty.delete("a")).rejects.toBeInstanceOf(Unavailable);
    await expect(hasty.list("", { limit: 1 })).rejects.toBeInstanceOf(Unavailable);
    stub.plan = () => s3Error(500, "InternalError");
    expect(await hasty.put("a", mine)).toBe("unknown");
    await expect(hasty.get("a", { start: 0, length: 1 })).rejects.toBeInstanceOf(Unavailable);
  });

  it("is Unavailable at once where a right or the bucket is missing", async () => {
    for (const refusal of [s3Error(403, "AccessDenied"), s3Error(404, "NoSuchBucket")]) {
      stub.plan = () => refusal;
      await expect(blobs.put("a", mine)).rejects.toBeInstanceOf(Unavailable);
      await expect(blobs.get("a")).rejects.toBeInstanceOf(Unavailable);
    }
    expect(stub.requests).toHaveLength(4);
  });

  it.each(["lose", "cut", "fail-after"] satisfies StubFault[])(
    "reads again what broke off: %s",
    async (fault) => {
      await blobs.put("a/b", mine);
      stub.next("GetObject", fault, fault);
      expect(await blobs.get("a/b", { start: 1, length: 2 })).toEqual(bytes("in"));
      stub.next("ListObjectsV2", fault);
      const page = await blobs.list("a/", { limit: 1 });
      expect(page).toEqual({ blobs: [{ key: "a/b", bytes: 4 }], more: false });
      stub.next("DeleteObject", fault);
      await blobs.delete("a/b");
      expect(stub.s3.objects.size).toBe(0);
    },
  );

  it("reads nothing of an empty blob, whatever is asked of it", async () => {
    await blobs.put("empty", bytes(""));
    expect(await blobs.get("empty", { start: 0, length: 9 })).toEqual(bytes(""));
    expect(await blobs.get("empty", { start: 0, length: 0 })).toEqual(bytes(""));
    expect(await blobs.get("none", { start: 0, length: 0 })).toBeUndefined();
  });
});

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
