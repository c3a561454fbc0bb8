import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { TassoProps } from "../../infra/tasso.ts";
import { policiesDocument } from "../../scripts/policies-document.ts";
import { operations } from "../../src/api/operations.ts";
import { templateOf } from "../support/synthesized.ts";

interface Statement {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Principal?: unknown;
}

function policiesOf(props?: TassoProps): Record<string, { readonly Statement: Statement[] }> {
  const policies = templateOf(props).findResources("AWS::IAM::Policy");
  return Object.fromEntries(
    Object.entries(policies).map(([id, { Properties }]) => [id, Properties.PolicyDocument]),
  );
}

const commit = operations.find(({ right }) => right === "commit");
if (commit === undefined) throw new Error("no operation has the right to commit");
/** An operation that nobody has thought of yet. */
const another = { ...commit, name: "another", path: "/v1/another" };

describe("the policies", () => {
  it("change in one place when an operation comes that uses more than the others of its right", () => {
    const before = policiesOf();
    const after = policiesOf({
      operations: [...operations, { ...another, right: "pull", uses: ["writeStore"] }],
    });
    expect(Object.keys(after)).toEqual(Object.keys(before));
    const changed = Object.keys(before).filter(
      (id) => JSON.stringify(after[id]) !== JSON.stringify(before[id]),
    );
    expect(changed).toEqual([expect.stringContaining("Pull")]);
    const sids = (policies: typeof before) =>
      policies[changed[0] ?? ""]?.Statement.map(({ Sid }) => Sid);
    expect(sids(after)?.sort()).toEqual([...(sids(before) ?? []), "WriteStore"].sort());
  });

  it("do not change when an operation comes that uses what others of its right use", () => {
    expect(policiesOf({ operations: [...operations, another] })).toEqual(policiesOf());
  });

  it("have no wildcard but those of the bucket's objects and the group's schedules", () => {
    const everything = operations.map((operation) => ({
      ...operation,
      uses: ["readStore", "writeStore", "readBlobs", "writeBlobs", "setAlarms"] as const,
    }));
    for (const props of [
      undefined,
      { operations: everything },
      { front: "function-url" as const },
    ]) {
      for (const { Statement: statements } of Object.values(policiesOf(props))) {
        for (const { Sid = "", Effect, Action, Resource } of statements) {
          expect(Effect).toBe("Allow");
          expect([Action].flat().join(), Sid).toMatch(
            /^[a-z0-9]+:[A-Za-z]+(,[a-z0-9]+:[A-Za-z]+)*$/,
          );
          expect(Array.isArray(Resource), Sid).toBe(false);
          const text = JSON.stringify(Resource);
          const mayEndSo = ["ReadBlobs", "WriteBlobs", "SetAlarms"].includes(Sid);
          expect(text.includes("*"), `${Sid} ${text}`).toBe(mayEndSo);
          if (mayEndSo) expect(text).toMatch(/^[^*]*\/\*"\]\]\}$/);
        }
      }
    }
  });

  it("grant no more than one function has use for", () => {
    const sends = policiesOf();
    const sidsOf = (part: string) =>
      Object.entries(sends)
        .filter(([id]) => id.includes(part))
        .flatMap(([, { Statement: statements }]) => statements.map(({ Sid }) => Sid));
    expect(sidsOf("Pull")).toEqual(["WriteLog", "ReadStore", "ReadBlobs", "ListBlobs"]);
    expect(sidsOf("Send")).toEqual([
      "WriteLog",
      "ReadStore",
      "WriteStore",
      "ReadBlobs",
      "ListBlobs",
      "WriteBlobs",
      "SetAlarms",
      "LetTheSchedulerRing",
      "RingSoon",
    ]);
    expect(sidsOf("Pull")).toEqual(["WriteLog", "ReadStore", "ReadBlobs", "ListBlobs"]);
  });

  it("are listed in docs/policies.md", () => {
    const folder = new URL("../../docs/", import.meta.url);
    const written = readFileSync(new URL("policies.md", folder), "utf8");
    expect(policiesDocument(folder.pathname)).toBe(written);
  });
});
