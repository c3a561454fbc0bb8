import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";
import { createHttpApi } from "../src/api/http.ts";
import type { HasPorts, Operation, Right } from "../src/api/operation.ts";
import { BrokerError } from "../src/broker/errors.ts";
import type { LogSettings } from "../src/broker/log/log-settings.ts";
import type { Ports } from "../src/broker/ports/ports.ts";
import type { Webhooks } from "../src/broker/ports/webhooks.ts";
import { answering } from "./answering.ts";
import { awsPorts, logOnAws } from "./aws-ports.ts";
import { Conflicts } from "./conflicts.ts";
import { logError } from "./log.ts";
import { noWebhooks } from "./no-webhooks.ts";
import { type ApiFunction, serves } from "./rights.ts";
import { readIdentity, readSettings, type Settings } from "./settings.ts";

/** The handler of a function: the operations of its rights. Made once an environment; every call shares its clients. */
export function serve<B extends HasPorts>(
  name: ApiFunction,
  operations: readonly Operation<B>[],
  Broker: new (ports: Ports, settings: Partial<LogSettings>) => B,
  webhooksOf: (settings: Settings) => Webhooks = () => noWebhooks,
): (event: APIGatewayProxyEventV2) => Promise<APIGatewayProxyStructuredResultV2> {
  const settings = readSettings();
  const conflicts = new Conflicts();
  const ports = awsPorts(settings, webhooksOf(settings));
  const broker = new Broker({ ...ports, store: conflicts.in(ports.store) }, logOnAws);
  if ("identity" in broker) broker.identity = readIdentity();
  const api = createHttpApi({
    broker,
    operations,
    authorize: (right) => expectServed(name, right),
    onError: (error, requestId) => logError(error, { function: name, requestId }),
  });
  return answering(api, { service: settings.service, function: name }, () => ({
    conflicts: conflicts.take(),
  }));
}

/** Who may call is decided in front of the function; here nothing slips into a function that has other permissions. */
function expectServed(name: ApiFunction, right: Right): void {
  if (serves(name, right)) return;
  throw new BrokerError("permission_denied", `this function does not serve the right ${right}`, {
    field: "path",
    allowed: "what this function serves",
  });
}
