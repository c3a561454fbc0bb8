import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import type { Expectation, Item, Write } from "../../broker/ports/store.ts";

export interface Condition {
  readonly ConditionExpression?: string;
  readonly ExpressionAttributeValues?: Record<string, AttributeValue>;
}

/**
 * What must hold in the table for a write to be applied.
 *
 * The table can compare expiry by the second only. Within that second the condition fails, which does no harm: the refusal
 * brings the item, its milliseconds decide, and if the write may go ahead after all, it is tried again with that item as
 * `pin`. A version names one put for ever, so "it still has this version" then says all about its expiry.
 *
 * A put also demands that it has not been done before (law 4): the second time it would undo what others did since.
 */
export function conditionOf(write: Write, now: number, pin: Item | undefined): Condition {
  const [holds, values] = expectation(write.expect, now, pin);
  const isNew = write.kind === "put" && write.expect !== "vacant";
  const all = [holds, isNew ? "(attribute_not_exists(w) OR w <> :own)" : ""].filter(Boolean);
  if (all.length === 0) return {};
  if (isNew) values[":own"] = { S: write.version };
  return {
    ConditionExpression: all.join(" AND "),
    ...(Object.keys(values).length === 0 ? {} : { ExpressionAttributeValues: values }),
  };
}

function expectation(
  expect: Expectation | undefined,
  now: number,
  pin: Item | undefined,
): [string, Record<string, AttributeValue>] {
  if (expect === undefined) return ["", {}];
  if (expect === "vacant") return ["attribute_not_exists(p)", {}];
  if (expect === "absent") {
    const surelyExpired = { ":past": { N: `${Math.floor(now / 1_000)}` } };
    if (pin === undefined) return ["(attribute_not_exists(p) OR e <= :past)", surelyExpired];
    const pinned = { ...surelyExpired, ":pin": { S: pin.version } };
    return ["(attribute_not_exists(p) OR e <= :past OR w = :pin)", pinned];
  }
  const version = { ":version": { S: expect.version } };
  if (pin?.version === expect.version) return ["w = :version", version];
  const surelyAlive = { ":soon": { N: `${Math.floor((now + 999) / 1_000)}` } };
  return [
    "w = :version AND (attribute_not_exists(e) OR e > :soon)",
    { ...version, ...surelyAlive },
  ];
}
