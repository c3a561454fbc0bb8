import { mkdir, open } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** Makes the names in a folder durable: a file's own fsync does not cover its name. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open folders; its file systems journal names by themselves.
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes a folder and those above it, durably. */
export async function ensureFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  const top = dirname(resolve(first));
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === top) return;
  }
}
