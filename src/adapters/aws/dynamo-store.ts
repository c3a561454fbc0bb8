import { randomUUID } from "node:crypto";
import {
  BatchGetItemCommand,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  TransactionCanceledException,
  type TransactWriteItem,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { concatBytes } from "../../broker/bytes.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import {
  assertCommitWithinLimits,
  type CommitResult,
  type Item,
  type Key,
  keyId,
  type ScanPage,
  type ScanRange,
  type Store,
  type Write,
} from "../../broker/ports/store.ts";
import {
  assertGetWithinLimits,
  assertScanWithinLimits,
  judgeCommit,
  unexpired,
} from "../memory/store-rules.ts";
import { type Attempt, attempts, attemptsAtWill, NoEffect } from "./attempts.ts";
import { clientSettings } from "./client-settings.ts";
import { conditionOf } from "./conditions.ts";
import { type Attributes, decodeItem, encodeItem, encodeKey } from "./dynamo-codec.ts";

export interface DynamoStoreOptions {
  /** The table, made as `dynamo-codec.ts` says. */
  readonly table: string;
  readonly clock: Clock;
  /** Region, credentials, endpoint; what is left out comes from where the SDK looks for it. */
  readonly client?: DynamoDBClientConfig;
}

/** A page of 1 MB, or a transaction of 4 MB, on a slow line. */
const attemptMs = 5_000;
const readMs = 15_000;

/** A page that came short met expired items, of which there may be many more. */
const laterPageItemsMin = 100;

/** The store in one table of DynamoDB. */
export class DynamoStore implements Store {
  readonly #client: DynamoDBClient;
  readonly #table: string;
  readonly #clock: Clock;

  constructor({ table, clock, client }: DynamoStoreOptions) {
    this.#client = new DynamoDBClient({ ...clientSettings, ...client, maxAttempts: 1 });
    this.#table = table;
    this.#clock = clock;
  }

  close(): void {
    this.#client.destroy();
  }

  async get(keys: readonly Key[]): Promise<(Item | undefined)[]> {
    assertGetWithinLimits(keys);
    const found = await this.#read(keys.map(copiedKey), this.#clock.now() + readMs);
    const now = this.#clock.now();
    return found.map((item) => unexpired(item, now));
  }

  /**
   * Reads one item more than it answers, where there is one, to know whether there is. DynamoDB cannot stop at a number of
   * bytes: it reads up to 1 MB, or `limit`, whatever `bytesMax` is.
   */
  async scan(range: ScanRange): Promise<ScanPage> {
    assertScanWithinLimits(range);
    const keyCondition = encodeRange(range);
    const { limit, reverse = false, bytesMax = Number.POSITIVE_INFINITY } = range;
    const items: Item[] = [];
    let bytes = 0;
    let start: Attributes | undefined;
    while (keyCondition !== undefined) {
      const page = await this.#query({
        ...keyCondition,
        ScanIndexForward: !reverse,
        Limit: Math.max(limit - items.length + 1, start === undefined ? 0 : laterPageItemsMin),
        ...(start === undefined ? {} : { ExclusiveStartKey: start }),
      });
      const now = this.#clock.now();
      for (const item of page.items) {
        if (items.length >= limit || bytes >= bytesMax) return { items, more: true };
        if (!unexpired(item, now)) continue;
        items.push(item);
        bytes += item.value.length;
      }
      start = page.next;
      if (start === undefined) break;
    }
    return { items, more: false };
  }

  async commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    assertCommitWithinLimits(writes);
    // Copied before anything waits: from then on the caller may use its buffers again.
    const kept = writes.map(copiedWrite);
    const [only] = kept;
    // Alone, a check is a read.
    if (only?.kind === "check" && kept.length === 1) return this.#check(only, until);
    let request: Request | undefined;
    const time = { clock: this.#clock, until, attemptMs };
    const answer = await attempts<CommitResult>(time, async (attempt) => {
      // After a doubtful attempt exactly the same again: by its token DynamoDB then knows a transaction that was done.
      if (!attempt.inDoubt || request === undefined) request = this.#requestOf(kept, []);
      for (;;) {
        const brought = await this.#send(request, attempt);
        if (brought === "applied") return { outcome: "applied" };
        const found = await this.#complete(kept, brought, until);
        const verdict = judgeCommit(kept, found, this.#clock.now());
        if (verdict === "apply") request = this.#requestOf(kept, found);
        // An attempt may have been applied and others may have changed or deleted what it put.
        else if (verdict.outcome === "refused" && attempt.inDoubt) return { outcome: "unknown" };
        else return verdict;
      }
    });
    return answer === "unknown" ? { outcome: "unknown" } : answer;
  }

  async #check(write: Write, until: number): Promise<CommitResult> {
    const found = await this.#read([write.key], until);
    const verdict = judgeCommit([write], found, this.#clock.now());
    return verdict === "apply" ? { outcome: "applied" } : verdict;
  }

  #requestOf(writes: readonly Write[], pins: readonly (Item | undefined)[]): Request {
    const now = this.#clock.now();
    const members = writes.map((write, index) => this.#memberOf(write, now, pins[index]));
    return { members, token: randomUUID() };
  }

  #memberOf(write: Write, now: number, pin: Item | undefined): TransactWriteItem {
    const common = {
      TableName: this.#table,
      ...conditionOf(write, now, pin),
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    } as const;
    switch (write.kind) {
      case "put":
        return { Put: { ...common, Item: encodeItem(write) } };
      case "delete":
        return { Delete: { ...common, Key: encodeKey(write.key) } };
      case "check":
        return {
          ConditionCheck: { ConditionExpression: "", ...common, Key: encodeKey(write.key) },
        };
      default:
        return write satisfies never;
    }
  }

  /** `applied`, or what the refusal brought of the items that refused it. */
  async #send(
    { members, token }: Request,
    attempt: Attempt,
  ): Promise<"applied" | (Item | undefined)[]> {
    const options = { abortSignal: attempt.signal };
    const [{ Put, Delete } = {}] = members;
    try {
      if (members.length > 1) {
        const input = { TransactItems: members, ClientRequestToken: token };
        const command = new TransactWriteItemsCommand(input);
        attempt.guard(command);
        await this.#client.send(command, options);
      } else if (Put) {
        const command = new PutItemCommand(Put);
        attempt.guard(command);
        await this.#client.send(command, options);
      } else if (Delete) {
        const command = new DeleteItemCommand(Delete);
        attempt.guard(command);
        await this.#client.send(command, options);
      }
      return "applied";
    } catch (error) {
      return broughtByRefusal(error);
    }
  }

  /** Reads what a refusal did not bring. */
  async #complete(
    writes: readonly Write[],
    brought: readonly (Item | undefined)[],
    until: number,
  ): Promise<(Item | undefined)[]> {
    const isOwn = (item: Item | undefined, write: Write) =>
      write.kind === "put" && item?.version === write.version;
    if (writes.some((write, index) => isOwn(brought[index], write))) return [...brought];
    const missing = writes.flatMap(({ key }, index) => (brought[index] ? [] : [key]));
    const read = await this.#read(missing, until);
    return writes.map((_, index) => brought[index] ?? read.shift());
  }

  /** The items under these keys, also those that have expired. */
  async #read(keys: readonly Key[], until: number): Promise<(Item | undefined)[]> {
    const found = new Map<string, Item>();
    // DynamoDB takes no key twice.
    const wanted = new Map(keys.map((key) => [keyId(key), encodeKey(key)]));
    if (wanted.size === 0) return [];
    await attemptsAtWill({ clock: this.#clock, until, attemptMs }, async (attempt) => {
      const page = await this.#readSome([...wanted.values()], attempt);
      for (const item of page.items) found.set(keyId(item.key), item);
      if (page.left.length === 0) return;
      const left = new Set(page.left.map((key) => keyId(decodeKey(key))));
      for (const id of wanted.keys()) if (!left.has(id)) wanted.delete(id);
      throw new NoEffect("DynamoDB left keys for later");
    });
    return keys.map((key) => found.get(keyId(key)));
  }

  async #readSome(
    keys: Attributes[],
    attempt: Attempt,
  ): Promise<{ readonly items: Item[]; readonly left: readonly Attributes[] }> {
    const [first] = keys;
    const options = { abortSignal: attempt.signal };
    if (keys.length === 1) {
      const command = new GetItemCommand({
        TableName: this.#table,
        Key: first,
        ConsistentRead: true,
      });
      attempt.guard(command);
      const { Item: item } = await this.#client.send(command, options);
      return { items: item === undefined ? [] : [decodeItem(item)], left: [] };
    }
    const command = new BatchGetItemCommand({
      RequestItems: { [this.#table]: { Keys: keys, ConsistentRead: true } },
    });
    attempt.guard(command);
    const { Responses, UnprocessedKeys } = await this.#client.send(command, options);
    const items = (Responses?.[this.#table] ?? []).map(decodeItem);
    return { items, left: UnprocessedKeys?.[this.#table]?.Keys ?? [] };
  }

  async #query(
    input: Omit<QueryCommandInput, "TableName">,
  ): Promise<{ readonly items: Item[]; readonly next: Attributes | undefined }> {
    const until = this.#clock.now() + readMs;
    return attemptsAtWill({ clock: this.#clock, until, attemptMs }, async (attempt) => {
      const command = new QueryCommand({ ...input, TableName: this.#table, ConsistentRead: true });
      attempt.guard(command);
      const page = await this.#client.send(command, { abortSignal: attempt.signal });
      return { items: (page.Items ?? []).map(decodeItem), next: page.LastEvaluatedKey };
    });
  }
}

interface Request {
  /** One for each write; alone it is sent as a request of its own, at half the price. */
  readonly members: TransactWriteItem[];
  readonly token: string;
}

/** What befell a member of a transaction that did not go through because of others or for load. */
const passing = new Set([
  "None",
  "ProvisionedThroughputExceeded",
  "RequestLimitExceeded",
  "ThrottlingError",
  "TransactionConflict",
]);

/** The items that a refusal brought; any other error is thrown on. */
function broughtByRefusal(error: unknown): (Item | undefined)[] {
  if (error instanceof ConditionalCheckFailedException)
    return [error.Item === undefined ? undefined : decodeItem(error.Item)];
  if (!(error instanceof TransactionCanceledException)) throw error;
  const reasons = error.CancellationReasons ?? [];
  if (reasons.some(({ Code }) => Code === "ConditionalCheckFailed"))
    return reasons.map(({ Item: item }) => (item === undefined ? undefined : decodeItem(item)));
  const passes = reasons.every(({ Code = "None" }) => passing.has(Code));
  throw passes ? new NoEffect("the transaction was cancelled", { cause: error }) : error;
}

/** `undefined` where nothing can lie in the range: DynamoDB takes neither crossed bounds nor empty ones. */
function encodeRange({ partition, from, to }: ScanRange) {
  if (to?.length === 0 || (from && to && Buffer.compare(from, to) > 0)) return undefined;
  const low = from === undefined || from.length === 0 ? undefined : new Uint8Array(from);
  const high = to && new Uint8Array(to);
  const values = { ":p": { B: new Uint8Array(partition) } };
  const lowest = low && { ":from": { B: low } };
  const highest = high && { ":to": { B: high } };
  const within =
    low && high
      ? " AND s BETWEEN :from AND :to"
      : low
        ? " AND s >= :from"
        : high
          ? " AND s <= :to"
          : "";
  return {
    KeyConditionExpression: `p = :p${within}`,
    ExpressionAttributeValues: { ...values, ...lowest, ...highest },
  };
}

function decodeKey({ p, s }: Attributes): Key {
  return { partition: p?.B ?? new Uint8Array(), sort: s?.B ?? new Uint8Array() };
}

function copiedKey({ partition, sort }: Key): Key {
  return { partition: new Uint8Array(partition), sort: new Uint8Array(sort) };
}

function copiedWrite(write: Write): Write {
  const key = copiedKey(write.key);
  if (write.kind !== "put") return { ...write, key };
  const { value } = write;
  return { ...write, key, value: concatBytes(value instanceof Uint8Array ? [value] : value) };
}
