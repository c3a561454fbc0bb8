import { Duration, RemovalPolicy } from "aws-cdk-lib";
import type { Authorization } from "./front.ts";
import type { TassoProps } from "./tasso.ts";

export interface Options extends TassoProps {
  readonly stackName: string;
  /** Whether a name server is deployed besides. */
  readonly nameServer: boolean;
}

/**
 * The options of the app, which are those of the construct as text:
 *
 * - `stackName`: default `Tasso`
 * - `front`: `http-api` (default) or `function-url`
 * - `authorization`: `iam` (default), `jwt` or `none`; `jwt` needs `issuer` and `audience` (several with commas between)
 * - `removal`: `retain` (default) or `destroy`, which takes table and bucket away with the stack
 * - `sweepMinutes`: default 1
 * - `brokerName`: what the broker is called at name servers, and `nameServers`: their URLs, with commas between
 * - `nameServer`: `true` or `false` (default): a stack with a name server besides, with which the broker registers
 * - `dashboard`: `true` or `false` (default)
 *
 * Throws with everything that is wrong at once.
 */
export function optionsIn(context: (name: string) => unknown): Options {
  const wrong: string[] = [];
  const given = (name: string): string | undefined => {
    const value: unknown = context(name);
    return value === undefined ? undefined : String(value);
  };
  const oneOf = <T extends string>(name: string, allowed: readonly [T, ...T[]]): T => {
    const value = given(name) ?? allowed[0];
    if (!allowed.includes(value as T))
      wrong.push(`${name} must be ${allowed.join(" or ")}, not "${value}"`);
    return value as T;
  };
  const sweepMinutes = given("sweepMinutes") ?? "1";
  if (!/^[1-9]\d?$/.test(sweepMinutes))
    wrong.push(`sweepMinutes must be 1 to 60, not "${sweepMinutes}"`);
  const brokerName = given("brokerName");
  if (brokerName !== undefined && !/^[A-Za-z0-9_-]{1,127}$/.test(brokerName))
    wrong.push(`brokerName must be 1 to 127 of A-Z a-z 0-9 _ -, not "${brokerName}"`);
  const options = {
    stackName: given("stackName") ?? "Tasso",
    front: oneOf("front", ["http-api", "function-url"]),
    authorization: authorization(oneOf("authorization", ["iam", "jwt", "none"])),
    removalPolicy:
      oneOf("removal", ["retain", "destroy"]) === "destroy"
        ? RemovalPolicy.DESTROY
        : RemovalPolicy.RETAIN,
    sweepEvery: Duration.minutes(Number(sweepMinutes) || 1),
    nameServer: oneOf("nameServer", ["false", "true"]) === "true",
    nameServers: given("nameServers")?.split(",") ?? [],
    ...(brokerName === undefined ? {} : { brokerName }),
    dashboard: oneOf("dashboard", ["false", "true"]) === "true",
  };
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  return options;

  function authorization(kind: Authorization["kind"]): Authorization {
    if (kind !== "jwt") return { kind };
    const issuer = given("issuer") ?? "";
    const audience = given("audience")?.split(",") ?? [];
    if (issuer === "" || audience.length === 0)
      wrong.push("authorization jwt needs issuer and audience");
    return { kind, issuer, audience };
  }
}
