import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { filesBelow } from "./files.ts";

/** Flips the lowest bit of the last byte of `text` wherever it stands in the file; answers how often it did. */
export async function flip(file: string, text: string): Promise<number> {
  const bytes = await readFile(file);
  let count = 0;
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
    const last = at + Buffer.byteLength(text) - 1;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    count++;
  }
  await writeFile(file, bytes);
  return count;
}

/** A hash over the names and bytes of all files below a folder. */
export async function fingerprint(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const path of await filesBelow(folder)) hash.update(path).update(await readFile(path));
  return hash.digest("hex");
}
