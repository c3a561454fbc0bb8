import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BlobKey } from "../../broker/ports/blobs.ts";

/*
 * A key's parts become folders and its last part a file with `=` behind its name, so that `a` and
 * `a/b` can both exist. Capital letters become `^` and the small letter, because some file systems
 * do not tell them apart. A part that is too long for a file name goes on in a folder with `+`
 * behind its name.
 */
const nameCharsMax = 240;

/** The path of a blob below the folder of all blobs. */
export function blobPath(key: BlobKey): string {
  const escaped = key.replace(/[A-Z]/g, (letter) => `^${letter.toLowerCase()}`);
  const longPart = new RegExp(`[^/]{${nameCharsMax}}(?=[^/])`, "g");
  return `${escaped.replace(longPart, "$&+/")}=`;
}

function unescapeName(name: string): string {
  return name.replace(/\^([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

interface Found {
  readonly key: BlobKey;
  readonly path: string;
}

/** The blobs behind `after` whose keys begin with `prefix`, ordered as bytes. */
export async function* walkBlobs(
  folder: string,
  prefix: string,
  after: string,
  above = "",
): AsyncGenerator<Found> {
  for (const { name, path } of await entries(folder)) {
    // Keys are ASCII, so strings compare as their bytes do.
    const key = above + name;
    if (!key.endsWith("/")) {
      if (key.startsWith(prefix) && key > after) yield { key, path };
      continue;
    }
    const mayHoldPrefix = key.startsWith(prefix) || prefix.startsWith(key);
    const mayBeBehind = key > after || after.startsWith(key);
    if (mayHoldPrefix && mayBeBehind) yield* walkBlobs(path, prefix, after, key);
  }
}

/** Files by their part of the key, folders with a slash behind it; in the order of the keys. */
async function entries(folder: string): Promise<{ name: string; path: string }[]> {
  const found = await rawEntries(folder, "");
  const named = found.map(({ name, path }) => ({ name: unescapeName(name), path }));
  return named.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function rawEntries(folder: string, lead: string): Promise<{ name: string; path: string }[]> {
  const found: { name: string; path: string }[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const name = lead + entry.name;
    if (entry.isFile()) {
      // What does not end so is not ours: desktops leave files of their own everywhere.
      if (name.endsWith("=")) found.push({ name: name.slice(0, -1), path });
    } else if (name.endsWith("+")) found.push(...(await rawEntries(path, name.slice(0, -1))));
    else found.push({ name: `${name}/`, path });
  }
  return found;
}
