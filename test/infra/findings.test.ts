import { describe, expect, it } from "vitest";
import { acknowledgedFindings } from "../../infra/acknowledged.ts";
import type { TassoProps } from "../../infra/tasso.ts";
import { operations } from "../../src/api/operations.ts";
import { findingsIn } from "../support/synthesized.ts";

const withBlobs = operations.map((operation) =>
  operation.right === "pull"
    ? { ...operation, uses: [...operation.uses, "readBlobs"] as const }
    : operation,
);

const variants: readonly (readonly [string, TassoProps])[] = [
  ["by default", { dashboard: true }],
  ["with a Function URL", { front: "function-url" }],
  ["with tokens", { authorization: { kind: "jwt", issuer: "https://i.example", audience: ["a"] } }],
  ["for everybody", { authorization: { kind: "none" } }],
  ["when operations use blobs", { operations: withBlobs }],
];

describe("what cdk-nag finds", () => {
  it.each(variants)("is explained, %s, and nothing is explained that is not found", (_, props) => {
    const { ofStack, ofConstruct, tasso } = findingsIn(props);
    expect(ofStack).toEqual([]);
    const acknowledged = acknowledgedFindings(tasso);
    for (const { construct, id, reason } of acknowledged) {
      const isFound = ofConstruct.some(
        (finding) => finding.id === id && finding.path.startsWith(`${construct.node.path}/`),
      );
      expect(isFound, `${id} at ${construct.node.path}`).toBe(true);
      expect(reason.length).toBeGreaterThan(30);
    }
    expect(ofConstruct.length).toBe(acknowledged.length);
  });
});
