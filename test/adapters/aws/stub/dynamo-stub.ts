import type { StubAnswer, StubRequest } from "./aws-stub.ts";
import {
  type Attribute,
  bytesOf,
  compare,
  holds,
  InvalidRequest,
  itemSize,
  type StubItem,
} from "./expressions.ts";

interface Conditional {
  readonly TableName: string;
  readonly ConditionExpression?: string;
  readonly ExpressionAttributeValues?: Readonly<Record<string, Attribute>>;
  readonly ReturnValuesOnConditionCheckFailure?: string;
}
type Member = Conditional & { readonly Item?: StubItem; readonly Key?: StubItem };

interface Transaction {
  readonly TransactItems: readonly Readonly<Record<string, Member>>[];
  readonly ClientRequestToken?: string;
}

interface Query {
  readonly KeyConditionExpression: string;
  readonly ExpressionAttributeValues: Readonly<Record<string, Attribute>>;
  readonly ConsistentRead?: boolean;
  readonly ScanIndexForward?: boolean;
  readonly Limit?: number;
  readonly ExclusiveStartKey?: StubItem;
}

interface BatchGet {
  readonly RequestItems: Readonly<
    Record<string, { readonly Keys: readonly StubItem[]; readonly ConsistentRead?: boolean }>
  >;
}

const KB = 1_024;
const MB = KB * KB;

/** DynamoDB with one table whose keys are `p` and `s`. It refuses what DynamoDB refuses, and reads that may be stale. */
export class DynamoStub {
  /** `false`: refusals come without the item, as from a service that does not know how to bring it. */
  bringsItems = true;
  pageBytesMax = MB;
  /** A batch brings so many items and leaves the others unprocessed. */
  batchItemsMax = 100;
  batchBytesMax = 16 * MB;
  /** What was billed, by the published rules and what the items really weigh. */
  writeUnits = 0;
  readUnits = 0;
  readonly items = new Map<string, StubItem>();
  readonly #done = new Map<string, string>();

  handle(operation: string, { body }: StubRequest): StubAnswer {
    const input = JSON.parse(body.toString());
    try {
      switch (operation) {
        case "PutItem":
          return this.#single({ Put: input });
        case "DeleteItem":
          return this.#single({ Delete: input });
        case "TransactWriteItems":
          return this.#transact(input);
        case "GetItem":
          return this.#get(input);
        case "BatchGetItem":
          return this.#batchGet(input);
        case "Query":
          return this.#query(input);
        default:
          throw new InvalidRequest(`${operation} is unknown`);
      }
    } catch (error) {
      if (error instanceof InvalidRequest) return dynamoError("ValidationException", error.message);
      throw error;
    }
  }

  /** The weight of the item under these bytes. */
  sizes(): number[] {
    return [...this.items.values()].map(itemSize);
  }

  #single(member: Readonly<Record<string, Member>>): StubAnswer {
    const write = Object.values(member)[0] as Member;
    checkWrite(write);
    const found = this.items.get(idOf(write));
    this.writeUnits += units(Math.max(sizeOf(found), sizeOf(write.Item)), KB);
    if (!this.#holds(write))
      return dynamoError("ConditionalCheckFailedException", "The conditional request failed", {
        ...this.#brought(write),
      });
    this.#apply(member);
    return ok({});
  }

  #transact({ TransactItems, ClientRequestToken: token = "" }: Transaction): StubAnswer {
    if (TransactItems.length === 0 || TransactItems.length > 100)
      throw new InvalidRequest("a transaction has 1 to 100 members");
    const payload = JSON.stringify(TransactItems);
    const earlier = this.#done.get(token);
    if (earlier !== undefined) {
      if (earlier === payload) return ok({});
      return dynamoError("IdempotentParameterMismatchException", "another payload");
    }
    const writes = TransactItems.map((member) => Object.values(member)[0] as Member);
    for (const write of writes) checkWrite(write);
    if (new Set(writes.map(idOf)).size < writes.length)
      throw new InvalidRequest(
        "Transaction request cannot include multiple operations on one item",
      );
    const bytes = writes.reduce((sum, { Item }) => sum + sizeOf(Item), 0);
    if (bytes > 4 * MB) throw new InvalidRequest("Collection size limit exceeded");
    for (const write of writes) {
      const largest = Math.max(sizeOf(this.items.get(idOf(write))), sizeOf(write.Item));
      this.writeUnits += 2 * units(largest, KB);
    }
    if (!writes.every((write) => this.#holds(write))) {
      return cancelled(
        writes.map((write) =>
          this.#holds(write)
            ? { Code: "None" }
            : { Code: "ConditionalCheckFailed", ...this.#brought(write) },
        ),
      );
    }
    for (const member of TransactItems) this.#apply(member);
    if (token !== "") this.#done.set(token, payload);
    return ok({});
  }

  #get({ Key, ConsistentRead }: { Key: StubItem; ConsistentRead?: boolean }): StubAnswer {
    checkKey(Key);
    checkConsistent(ConsistentRead);
    const item = this.items.get(idOf({ Key }));
    this.readUnits += units(sizeOf(item), 4 * KB);
    return ok(item === undefined ? {} : { Item: item });
  }

  #batchGet({ RequestItems }: BatchGet): StubAnswer {
    const [[table, { Keys, ConsistentRead }] = ["", { Keys: [] }]] = Object.entries(RequestItems);
    checkConsistent(ConsistentRead);
    if (Keys.length === 0 || Keys.length > 100) throw new InvalidRequest("1 to 100 keys");
    for (const key of Keys) checkKey(key);
    if (new Set(Keys.map((Key) => idOf({ Key }))).size < Keys.length)
      throw new InvalidRequest("Provided list of item keys contains duplicates");
    const found: StubItem[] = [];
    const left: StubItem[] = [];
    let bytes = 0;
    for (const [index, Key] of Keys.entries()) {
      const item = this.items.get(idOf({ Key }));
      const fits = index < this.batchItemsMax && bytes + sizeOf(item) <= this.batchBytesMax;
      if (!fits) left.push(Key);
      else {
        bytes += sizeOf(item);
        this.readUnits += units(sizeOf(item), 4 * KB);
        if (item !== undefined) found.push(item);
      }
    }
    const UnprocessedKeys = left.length === 0 ? {} : { [table]: { Keys: left, ConsistentRead } };
    // DynamoDB promises no order.
    return ok({ Responses: { [table]: found.reverse() }, UnprocessedKeys });
  }

  #query(query: Query): StubAnswer {
    checkConsistent(query.ConsistentRead);
    const { Limit = Number.POSITIVE_INFINITY, ScanIndexForward = true, ExclusiveStartKey } = query;
    if (Limit < 1) throw new InvalidRequest("a page has at least 1 item");
    for (const value of Object.values(query.ExpressionAttributeValues))
      if (bytesOf(value).length === 0) throw new InvalidRequest("a key is never empty");
    const { KeyConditionExpression: condition, ExpressionAttributeValues: values } = query;
    // Read also where there is no item.
    holds(condition, values, undefined);
    const direction = ScanIndexForward ? 1 : -1;
    const all = [...this.items.values()]
      .filter((item) => holds(condition, values, item))
      .sort((a, b) => direction * compare(part(a, "s"), part(b, "s")))
      .filter(
        (item) =>
          ExclusiveStartKey === undefined ||
          direction * compare(part(item, "s"), part(ExclusiveStartKey, "s")) > 0,
      );
    const page: StubItem[] = [];
    let bytes = 0;
    for (const item of all) {
      if (page.length >= Limit || (page.length > 0 && bytes + sizeOf(item) > this.pageBytesMax))
        break;
      page.push(item);
      bytes += sizeOf(item);
    }
    this.readUnits += units(bytes, 4 * KB);
    const last = page.at(-1);
    // Also where the page ends with the last item, because DynamoDB does not look further.
    const isCut = last !== undefined && (page.length < all.length || page.length === Limit);
    const next = isCut ? { LastEvaluatedKey: { p: last["p"], s: last["s"] } } : {};
    return ok({ Items: page, Count: page.length, ...next });
  }

  #holds(write: Member): boolean {
    const { ConditionExpression, ExpressionAttributeValues = {} } = write;
    if (ConditionExpression === undefined) return true;
    return holds(ConditionExpression, ExpressionAttributeValues, this.items.get(idOf(write)));
  }

  #brought(write: Member): { Item?: StubItem } {
    const item = this.items.get(idOf(write));
    const wanted = write.ReturnValuesOnConditionCheckFailure === "ALL_OLD";
    return wanted && this.bringsItems && item !== undefined ? { Item: item } : {};
  }

  #apply({ Put, Delete }: Readonly<Record<string, Member>>): void {
    if (Put?.Item) this.items.set(idOf(Put), Put.Item);
    if (Delete) this.items.delete(idOf(Delete));
  }
}

export function dynamoError(type: string, message: string, more: object = {}): StubAnswer {
  const body = { __type: `com.amazonaws.dynamodb.v20120810#${type}`, message, ...more };
  return answer(type === "InternalServerError" ? 500 : 400, body);
}

export function cancelled(reasons: readonly { readonly Code: string }[]): StubAnswer {
  const message = `Transaction cancelled [${reasons.map(({ Code }) => Code).join(", ")}]`;
  return dynamoError("TransactionCanceledException", message, { CancellationReasons: reasons });
}

function ok(body: object): StubAnswer {
  return answer(200, body);
}

function answer(status: number, body: object): StubAnswer {
  const headers = { "content-type": "application/x-amz-json-1.0" };
  return { status, headers, body: JSON.stringify(body) };
}

function checkWrite({ Item, Key, ConditionExpression, ExpressionAttributeValues }: Member): void {
  checkKey(Item ?? Key ?? {});
  if (sizeOf(Item) > 400 * KB) throw new InvalidRequest("Item size has exceeded the limit");
  if (ConditionExpression === "") throw new InvalidRequest("The expression can not be empty");
  if (ExpressionAttributeValues && Object.keys(ExpressionAttributeValues).length === 0)
    throw new InvalidRequest("ExpressionAttributeValues must not be empty");
}

function checkKey(item: StubItem): void {
  for (const [name, bytesMax] of [
    ["p", 2_048],
    ["s", 1_024],
  ] as const) {
    const length = bytesOf(part(item, name)).length;
    if (length === 0 || length > bytesMax) throw new InvalidRequest(`${name} has ${length} bytes`);
  }
}

function checkConsistent(consistent: boolean | undefined): void {
  if (consistent !== true) throw new InvalidRequest("the stub knows no stale reads");
}

function idOf({ Item, Key = Item }: Pick<Member, "Item" | "Key">): string {
  return `${bytesOf(part(Key ?? {}, "p")).toString("hex")}/${bytesOf(part(Key ?? {}, "s")).toString("hex")}`;
}

function part(item: StubItem, name: "p" | "s"): Attribute {
  const attribute = item[name];
  if (attribute === undefined) throw new InvalidRequest(`${name} is missing`);
  return attribute;
}

function sizeOf(item: StubItem | undefined): number {
  return item === undefined ? 0 : itemSize(item);
}

function units(bytes: number, unitBytes: number): number {
  return Math.max(1, Math.ceil(bytes / unitBytes));
}
