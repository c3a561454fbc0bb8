import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Raised when what lies in the folder could no longer be read by an older release. */
const format = 3;

/** The data folder cannot be used; nothing in it was touched. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

export interface DataFolder {
  readonly store: string;
  readonly blobs: string;
}

/** Makes the folder, or checks that this release understands what is in it. Several processes may do so at once. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  const mark = join(path, "tasso.json");
  try {
    await mkdir(path, { recursive: true });
    await markNew(mark);
  } catch (error) {
    throw new DataFolderError(
      `the data folder ${path} cannot be made: ${(error as Error).message}`,
      { cause: error },
    );
  }
  const found = formatIn(await readFile(mark, "utf8"));
  if (found === undefined)
    throw new DataFolderError(`${mark} is damaged: it must be {"format":${format}}`);
  if (found < format) {
    throw new DataFolderError(
      `the data folder ${path} has format ${found}, of a time before the first release, and cannot be read: use another folder`,
    );
  }
  if (found > format) {
    throw new DataFolderError(
      `the data folder ${path} has format ${found}, this release understands ${format}: use a newer release`,
    );
  }
  return { store: join(path, "store.mdb"), blobs: join(path, "blobs") };
}

/** Writes the mark if there is none, whole or not at all. */
async function markNew(mark: string): Promise<void> {
  const draft = `${mark}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, `${JSON.stringify({ format })}\n`);
  try {
    await link(draft, mark);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(draft);
  }
}

function formatIn(text: string): number | undefined {
  try {
    const { format: found } = JSON.parse(text) as { format?: unknown };
    return typeof found === "number" && found >= 1 ? found : undefined;
  } catch {
    return undefined;
  }
}
