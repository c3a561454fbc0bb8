import { jitter, newVersion } from "./chance.ts";
import { commitUntilDecided } from "./decided-commit.ts";
import { BrokerError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { Ports } from "./ports/ports.ts";
import type { Item, Key, Version, Write } from "./ports/store.ts";

const attemptsMax = 20;

/** What a change makes of an item: its new value, with writes that go along in the same commit; or nothing to do. */
export type Change<T> =
  | { readonly value: Uint8Array; readonly along?: readonly Write[]; readonly result: T }
  | { readonly unchanged: T };

/**
 * Changes one item by compare and set: `change` is given what is there and is asked again whenever somebody else was
 * faster. A change whose outcome was unknown and that somebody changed again is made again, so it has to be one that may
 * be made twice, such as a setting or a number that only rises. `known` spares the first read: a refusal brings the current item. Answers what `change` said, and the item's
 * version.
 */
export async function compareAndSet<T>(
  io: Ports,
  key: Key,
  change: (current: Item | undefined) => Change<T>,
  known?: Item,
): Promise<{ readonly result: T; readonly version: Version | undefined }> {
  let current = known ?? (await io.store.get([key]))[0];
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const wanted = change(current);
    if ("unchanged" in wanted) return { result: wanted.unchanged, version: current?.version };
    const version = newVersion(io.random);
    const expect = current === undefined ? "absent" : { version: current.version };
    const put: Write = { kind: "put", key, value: wanted.value, version, expect };
    const until = io.clock.now() + limits.appendDeadlineMs;
    const outcome = await commitUntilDecided(io, [put, ...(wanted.along ?? [])], until);
    if (outcome.outcome === "applied") return { result: wanted.result, version };
    current = outcome.current[0];
    await io.clock.sleep(jitter(io.random, Math.min(200, 2 ** attempt)));
  }
  throw new BrokerError("contention", "others were always faster", { attempts: attemptsMax });
}
