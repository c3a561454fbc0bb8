import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, openSync, read } from "node:fs";
import { link, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { assert } from "../../broker/assert.ts";
import {
  type BlobKey,
  type BlobPage,
  type BlobRange,
  type Blobs,
  isBlobKey,
} from "../../broker/ports/blobs.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import { Unavailable } from "../../broker/ports/failures.ts";
import { blobPath, walkBlobs } from "./blob-paths.ts";
import { ensureFolder, syncFolder } from "./sync-folder.ts";

export interface FileBlobsOptions {
  readonly folder: string;
  readonly clock: Clock;
}

/** A temporary file this old was left behind by a process that died. */
const leftoverMs = 60 * 60 * 1_000;

/** Blobs as files. Several processes may use one folder at once. */
export class FileBlobs implements Blobs {
  readonly #root: string;
  readonly #temporary: string;
  /** The folders whose own names are durable. */
  readonly #durable = new Set<string>();

  private constructor(folder: string) {
    this.#root = join(folder, "blobs");
    this.#temporary = join(folder, "temporary");
  }

  static async open({ folder, clock }: FileBlobsOptions): Promise<FileBlobs> {
    const blobs = new FileBlobs(folder);
    await ensureFolder(blobs.#root);
    await ensureFolder(blobs.#temporary);
    await removeLeftovers(blobs.#temporary, clock.now() - leftoverMs);
    return blobs;
  }

  async put(key: BlobKey, bytes: Uint8Array): Promise<"stored" | "exists" | "unknown"> {
    assert(isBlobKey(key), "a blob key is well-formed");
    const path = join(this.#root, blobPath(key));
    const temporary = join(this.#temporary, randomUUID());
    let linked: "stored" | "exists";
    try {
      await this.#ensureFolder(dirname(path));
      await writeDurably(temporary, bytes);
      linked = await linkIfAbsent(temporary, path);
    } catch (error) {
      throw new Unavailable("the blob cannot be written", { cause: error });
    } finally {
      await rm(temporary, { force: true }).catch(ignoreLeftover);
    }
    try {
      // Also for a blob that exists: whoever put it may not have come so far.
      await syncFolder(dirname(path));
      return linked;
    } catch {
      return "unknown";
    }
  }

  async get(key: BlobKey, range?: BlobRange): Promise<Uint8Array | undefined> {
    assert(isBlobKey(key), "a blob key is well-formed");
    try {
      return await readRange(join(this.#root, blobPath(key)), range);
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw new Unavailable("the blob cannot be read", { cause: error });
    }
  }

  async delete(key: BlobKey): Promise<void> {
    assert(isBlobKey(key), "a blob key is well-formed");
    try {
      await rm(join(this.#root, blobPath(key)));
    } catch (error) {
      if (!isAbsence(error)) throw new Unavailable("the blob cannot be deleted", { cause: error });
    }
  }

  async list(
    prefix: string,
    { after = "", limit }: { readonly after?: BlobKey; readonly limit: number },
  ): Promise<BlobPage> {
    assert(Number.isInteger(limit) && limit >= 1 && limit <= 1_000, "a page has 1 to 1,000 blobs");
    const blobs: { key: BlobKey; bytes: number }[] = [];
    try {
      for await (const { key, path } of walkBlobs(this.#root, prefix, after)) {
        if (blobs.length === limit) return { blobs, more: true };
        const bytes = await fileBytes(path);
        if (bytes !== undefined) blobs.push({ key, bytes });
      }
    } catch (error) {
      throw new Unavailable("the blobs cannot be listed", { cause: error });
    }
    return { blobs, more: false };
  }

  /** Makes the folder and, once in this process, its name and those of the folders above durable. */
  async #ensureFolder(folder: string): Promise<void> {
    if (this.#durable.has(folder)) return;
    await mkdir(folder, { recursive: true });
    const parts = relative(this.#root, folder).split(sep);
    for (const i of parts.keys()) await syncFolder(join(this.#root, ...parts.slice(0, i)));
    this.#durable.add(folder);
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** `link` is what makes a file appear whole and never over another; a rename would replace it. */
async function linkIfAbsent(from: string, to: string): Promise<"stored" | "exists"> {
  try {
    await link(from, to);
    return "stored";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return "exists";
    throw error;
  }
}

const readAt = promisify(read);

/**
 * The bytes may have to come from the disk, so another thread reads them. To hand it the file's opening and closing as
 * well costs several times what these take.
 */
async function readRange(path: string, range?: BlobRange): Promise<Uint8Array> {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const start = Math.min(range?.start ?? 0, size);
    const bytes = new Uint8Array(Math.min(range?.length ?? size, size - start));
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await readAt(file, bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) throw new Error("the file became shorter");
      done += bytesRead;
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}

async function fileBytes(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

async function removeLeftovers(folder: string, before: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const file = await stat(path).catch(ignoreLeftover);
    if (file && file.mtimeMs < before) await rm(path, { force: true }).catch(ignoreLeftover);
  }
}

/** A temporary file that cannot be removed now is removed at a later start. */
function ignoreLeftover(): undefined {
  return undefined;
}

function isAbsence(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
