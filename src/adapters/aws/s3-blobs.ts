import { randomUUID } from "node:crypto";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
} from "@aws-sdk/client-s3";
import { assert } from "../../broker/assert.ts";
import {
  type BlobKey,
  type BlobPage,
  type BlobRange,
  type Blobs,
  isBlobKey,
} from "../../broker/ports/blobs.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import { type Attempt, attempts, attemptsAtWill, NoEffect } from "./attempts.ts";
import { clientSettings } from "./client-settings.ts";

export interface S3BlobsOptions {
  /** Nothing else lies in it. Who may get must also be allowed to list it, else S3 says "forbidden" for what is not there. */
  readonly bucket: string;
  readonly clock: Clock;
  /** Region, credentials, endpoint; what is left out comes from where the SDK looks for it. */
  readonly client?: S3ClientConfig;
}

/** An attempt lasts at most so long, and as much more as its bytes need at 500 KB a second. */
const attemptMs = 5_000;
const bytesPerMs = 500;
const attemptsFor = 3;
/** How large a blob is taken for that is read whole. */
const wholeBlobBytes = 16 * 1_024 * 1_024;
const listPageMax = 1_000;

/** Blobs as objects of a bucket, under their own keys. */
export class S3Blobs implements Blobs {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #clock: Clock;

  constructor({ bucket, clock, client }: S3BlobsOptions) {
    // Without `Expect: 100-continue`, for which the SDK makes a connection of its own: nearly every put is wanted.
    const settings = { ...clientSettings, expectContinueHeader: false, ...client, maxAttempts: 1 };
    this.#client = new S3Client(settings);
    this.#bucket = bucket;
    this.#clock = clock;
  }

  close(): void {
    this.#client.destroy();
  }

  async put(key: BlobKey, bytes: Uint8Array): Promise<"stored" | "exists" | "unknown"> {
    assert(isBlobKey(key), "a blob key is well-formed");
    const mark = randomUUID();
    return attempts(this.#time(bytes.length), async (attempt) => {
      const command = new PutObjectCommand({
        Bucket: this.#bucket,
        Key: key,
        Body: bytes,
        IfNoneMatch: "*",
        Metadata: { [markName]: mark },
      });
      attempt.guard(command);
      try {
        await this.#client.send(command, { abortSignal: attempt.signal });
        return "stored";
      } catch (error) {
        // Somebody else is putting or deleting it at this moment: what comes of that is seen next time.
        if (statusOf(error) === 409) throw new NoEffect("the key is in use", { cause: error });
        if (statusOf(error) !== 412) throw error;
        return attempt.inDoubt ? await this.#whoseIs(key, mark, attempt) : "exists";
      }
    });
  }

  async get(key: BlobKey, range?: BlobRange): Promise<Uint8Array | undefined> {
    assert(isBlobKey(key), "a blob key is well-formed");
    return attemptsAtWill(this.#time(range?.length ?? wholeBlobBytes), async (attempt) => {
      const command = new GetObjectCommand({
        Bucket: this.#bucket,
        Key: key,
        ...(range === undefined ? {} : { Range: rangeHeader(range) }),
      });
      attempt.guard(command);
      try {
        const options = { abortSignal: attempt.signal };
        const { Body, ContentLength } = await this.#client.send(command, options);
        const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
        if (bytes.length !== (ContentLength ?? bytes.length))
          throw new NoEffect("the blob was cut off");
        return range?.length === 0 ? new Uint8Array() : plain(bytes);
      } catch (error) {
        if (error instanceof S3ServiceException && error.name === "NoSuchKey") return undefined;
        // The range begins at or past the end.
        if (statusOf(error) === 416) return new Uint8Array();
        throw error;
      }
    });
  }

  async delete(key: BlobKey): Promise<void> {
    assert(isBlobKey(key), "a blob key is well-formed");
    await attemptsAtWill(this.#time(0), async (attempt) => {
      const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: key });
      attempt.guard(command);
      await this.#client.send(command, { abortSignal: attempt.signal });
    });
  }

  async list(
    prefix: string,
    { after, limit }: { readonly after?: BlobKey; readonly limit: number },
  ): Promise<BlobPage> {
    const wellFormed = Number.isInteger(limit) && limit >= 1 && limit <= listPageMax;
    assert(wellFormed, "a page has 1 to 1,000 blobs");
    const blobs: { key: BlobKey; bytes: number }[] = [];
    let from: ListFrom = after === undefined ? {} : { StartAfter: after };
    for (;;) {
      // S3 may answer fewer than it was asked for though there are more.
      const page = await this.#listSome(prefix, from, limit - blobs.length);
      for (const { Key = "", Size = 0 } of page.Contents ?? [])
        blobs.push({ key: Key, bytes: Size });
      const next = page.NextContinuationToken;
      if (next === undefined || blobs.length >= limit) return { blobs, more: next !== undefined };
      from = { ContinuationToken: next };
    }
  }

  /** Whether an earlier attempt of this very put is what lies there. */
  async #whoseIs(
    key: BlobKey,
    mark: string,
    attempt: Attempt,
  ): Promise<"stored" | "exists" | "unknown"> {
    const command = new HeadObjectCommand({ Bucket: this.#bucket, Key: key });
    try {
      const { Metadata } = await this.#client.send(command, { abortSignal: attempt.signal });
      return Metadata?.[markName] === mark ? "stored" : "exists";
    } catch (error) {
      if (statusOf(error) === 404) return "unknown";
      throw error;
    }
  }

  #listSome(prefix: string, from: ListFrom, limit: number) {
    return attemptsAtWill(this.#time(0), async (attempt) => {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: prefix,
        MaxKeys: limit,
        ...from,
      });
      attempt.guard(command);
      return await this.#client.send(command, { abortSignal: attempt.signal });
    });
  }

  #time(bytes: number) {
    const ms = attemptMs + bytes / bytesPerMs;
    return { clock: this.#clock, until: this.#clock.now() + attemptsFor * ms, attemptMs: ms };
  }
}

type ListFrom = { readonly StartAfter?: BlobKey } | { readonly ContinuationToken: string };

/** A blob carries the id of the put that made it: by it a writer recognises its own earlier attempt. */
const markName = "put";

/** HTTP has no empty range: for one a byte is asked for, to see whether there is a blob. */
function rangeHeader({ start, length }: BlobRange): string {
  return `bytes=${start}-${start + Math.max(1, length) - 1}`;
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
