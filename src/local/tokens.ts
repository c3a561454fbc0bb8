import { timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { HttpApiOptions } from "../api/http.ts";
import type { Right } from "../api/operation.ts";
import { BrokerError } from "../broker/errors.ts";
import { SettingsError } from "./settings-error.ts";

/** A bearer token and what its holder may do. */
export interface Token {
  readonly token: string;
  /** @default everything */
  readonly rights?: readonly Right[];
}

/** Lets in whoever brings one of the tokens, to what it allows. Health and the description are open to all. */
export function bearer(tokens: readonly Token[]): NonNullable<HttpApiOptions["authorize"]> {
  const known = tokens.map(({ token, rights }) => ({
    expected: Buffer.from(`Bearer ${token}`),
    rights,
  }));
  return (right, authorization) => {
    if (right === "none") return;
    const given = Buffer.from(authorization ?? "");
    const holder = known.find(
      ({ expected }) => given.length === expected.length && timingSafeEqual(given, expected),
    );
    if (holder === undefined)
      throw new BrokerError("unauthenticated", "the call needs the bearer token", {
        field: "authorization",
      });
    if (holder.rights === undefined || holder.rights.includes(right)) return;
    throw new BrokerError("permission_denied", `this token does not give the right ${right}`, {
      field: "authorization",
      allowed: holder.rights,
    });
  };
}

/** The first line of a file. `option` names it in the error. */
export async function readToken(option: string, path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new SettingsError(`${option} ${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const [token = ""] = text.split("\n");
  if (token.trim() === "")
    throw new SettingsError(`${option} ${path} must begin with a line that holds the token`);
  return token.trim();
}
