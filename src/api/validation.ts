import type * as z from "zod";
import { type BrokerError, invalid } from "../broker/errors.ts";

/** Parses with a schema; the first rule that is broken becomes an `invalid` that names field, value and what is allowed. */
export function parse(schema: z.ZodType, input: unknown, where?: string): unknown {
  const parsed = schema.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw toInvalid(issue as z.core.$ZodIssue, where);
}

function toInvalid(issue: z.core.$ZodIssue, where: string | undefined): BrokerError {
  const path =
    issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0] ?? ""] : issue.path;
  const field = fieldPath(where === undefined ? path : [where, ...path]);
  return invalid(
    field,
    issue.code === "unrecognized_keys" ? "given" : issue.input,
    allowedBy(issue),
  );
}

function fieldPath(path: readonly PropertyKey[]): string {
  return (
    path.reduce<string>((text, part) => {
      if (typeof part === "number") return `${text}[${part}]`;
      return text === "" ? String(part) : `${text}.${String(part)}`;
    }, "") || "body"
  );
}

function allowedBy(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.expected === "int" ? "a whole number" : `of type ${issue.expected}`;
    case "too_small":
      return `at least ${issue.minimum}${unitOf(issue.origin)}`;
    case "too_big":
      return `at most ${issue.maximum}${unitOf(issue.origin)}`;
    case "invalid_value":
      return `one of ${issue.values.join(", ")}`;
    case "unrecognized_keys":
      return "absent: there is no such field";
    case "invalid_key":
      return issue.issues[0]?.message ?? issue.message;
    case "invalid_format":
    case "invalid_union":
    case "invalid_element":
    case "not_multiple_of":
    case "custom":
      return issue.message;
  }
}

function unitOf(origin: string): string {
  if (origin === "array" || origin === "set") return " entries";
  return origin === "string" ? " characters" : "";
}
