import { concatBytes } from "./bytes.ts";
import { limits } from "./limits.ts";
import type { Ports } from "./ports/ports.ts";
import { type Item, storeLimits } from "./ports/store.ts";

/** The first sort key behind another. */
export const nextSort = (sort: Uint8Array) => concatBytes([sort, Uint8Array.of(0)]);

/** The items of a partition in their order, page by page as they are asked for. */
export async function* allItems(
  io: Ports,
  range: { readonly partition: Uint8Array; readonly from?: Uint8Array },
  pageItems: number = storeLimits.scanItemsMax,
): AsyncGenerator<Item> {
  let next = range;
  for (;;) {
    const page = await io.store.scan({ ...next, limit: pageItems, bytesMax: limits.pullBytesMax });
    yield* page.items;
    const last = page.items.at(-1);
    if (!page.more || last === undefined) return;
    next = { ...range, from: nextSort(last.key.sort) };
  }
}
