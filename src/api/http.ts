import { addRoute, createRouter, findRoute, type RouterContext } from "rou3";
import { hex } from "../broker/bytes.ts";
import { BrokerError, isBrokerError } from "../broker/errors.ts";
import { metered, Usage } from "../broker/metering.ts";
import { toBrokerError } from "../broker/port-errors.ts";
import type { Random } from "../broker/ports/random.ts";
import type { RequestBroker } from "../broker/request-broker.ts";
import {
  type Answer,
  batchesType,
  batchType,
  type Described,
  type HasPorts,
  type Operation,
  type OperationContext,
  type Right,
} from "./operation.ts";
import { parse } from "./validation.ts";

/** A request as every front can give it, whatever server or gateway it came through. */
export interface HttpRequest {
  readonly method: string;
  /** The path without the query, still percent-encoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
  readonly body: Uint8Array;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Record<string, string>;
  /** Text, or bytes in parts that follow each other. */
  readonly body: string | readonly Uint8Array[] | undefined;
}

export interface HttpApiOptions<B extends HasPorts = RequestBroker> {
  readonly broker: B;
  readonly operations: readonly Operation<B>[];
  /** Throws where the caller may not do this. Without it everybody may do everything. */
  readonly authorize?: (right: Right, authorization: string | undefined) => void;
  /** Told of what is answered with 500 and of a store that cannot be reached: never of callers' mistakes. */
  readonly onError: (error: unknown, requestId: string) => void;
}

type Route<B extends HasPorts> = readonly Operation<B>[];

/** The operations over HTTP: finds, validates, runs, and tells errors. Never throws. */
export function createHttpApi<B extends HasPorts>(
  options: HttpApiOptions<B>,
): (request: HttpRequest) => Promise<HttpResponse> {
  const { broker } = options;
  const router = routerOf(options.operations);
  const nextRequestId = requestIds(broker.ports.random);
  return async (request) => {
    const usage = new Usage();
    const io = metered(broker.ports, usage);
    const requestId = requestIdOf(request) ?? nextRequestId();
    let response: HttpResponse;
    try {
      response = toResponse(await perform(router, request, { broker, io }, options.authorize));
    } catch (cause) {
      response = failed(toBrokerError(cause), requestId, options.onError);
    }
    return signed(response, { requestId, now: io.clock.now(), usage });
  };
}

/** The answer to a request that a front refuses before it reaches the operations. */
export function refuseEarly(
  error: BrokerError,
  { header, broker }: Pick<HttpRequest, "header"> & { readonly broker: HasPorts },
): HttpResponse {
  const { clock, random } = broker.ports;
  const requestId = requestIdOf({ header }) ?? hex(random.bytes(8));
  return signed(refusal(error, requestId), { requestId, now: clock.now(), usage: new Usage() });
}

/** What every answer carries: the request's id, broker time, and what was asked of the ports. */
function signed(
  response: HttpResponse,
  { requestId, now, usage }: { requestId: string; now: number; usage: Usage },
): HttpResponse {
  const { headers } = response;
  const { writeUnits, readUnits, blobPuts, blobGets, storeRequests } = usage;
  const calls = storeRequests + blobPuts + blobGets;
  headers["x-request-id"] = requestId;
  headers["x-broker-time"] = String(now);
  headers["x-tasso-units"] =
    `w=${writeUnits} r=${readUnits} put=${blobPuts} get=${blobGets} calls=${calls}`;
  return response;
}

function refusal(error: BrokerError, requestId: string): HttpResponse {
  const { code, message, details, status } = error;
  const response = json(status, { code, message, details, requestId });
  // HTTP demands these two of every such answer (RFC 9110, 15.5.6 and 15.5.2).
  if (code === "method_not_allowed") response.headers["allow"] = String(details["allowed"]);
  if (code === "unauthenticated") response.headers["www-authenticate"] = "Bearer";
  return response;
}

async function perform<B extends HasPorts>(
  router: RouterContext<Route<B>>,
  request: HttpRequest,
  context: OperationContext<B>,
  authorize: HttpApiOptions<B>["authorize"],
): Promise<Answer> {
  const { route, params } = find(router, request);
  // All operations of a route need the same right, so that nobody learns more by asking in another type.
  authorize?.(route[0]?.right ?? "admin", request.header("authorization"));
  const operation = choose(route, request);
  const input = {
    params:
      operation.params === undefined ? expectNone(params, "path") : parse(operation.params, params),
    query: queryOf(operation, request.query),
    body: bodyOf(operation, request),
  };
  return operation.run(context, input as never);
}

function find<B extends HasPorts>(router: RouterContext<Route<B>>, { method, path }: HttpRequest) {
  const found = findRoute(router, method, path);
  if (found !== undefined) return { route: found.data, params: decoded(found.params ?? {}) };
  const allowed = ["GET", "PUT", "POST", "PATCH", "DELETE"].filter(
    (other) => findRoute(router, other, path) !== undefined,
  );
  if (allowed.length > 0) {
    throw new BrokerError("method_not_allowed", `${method} is not possible here`, {
      field: "method",
      given: method,
      allowed,
    });
  }
  throw new BrokerError("route_not_found", "there is no such path; GET /openapi.json lists them", {
    field: "path",
    given: path,
    allowed: "a path that GET /openapi.json lists",
  });
}

/** Several operations may share a path and differ in the type that they take or give. */
function choose<B extends HasPorts>(route: Route<B>, request: HttpRequest): Operation<B> {
  const accepted = request.header("accept")?.split(",").map(typeIn);
  const sent = typeIn(request.header("content-type"));
  const byAnswer = route.filter(
    ({ produces }) => (produces === batchesType) === (accepted?.includes(batchesType) ?? false),
  );
  const candidates = byAnswer.length > 0 ? byAnswer : route;
  const takesBody = candidates.some(
    ({ body, consumes }) => body !== undefined || consumes !== undefined,
  );
  if (!takesBody) return candidates[0] as Operation<B>;
  const withoutBody = candidates.find(
    ({ body }) => request.body.length === 0 && body?.isOptional(),
  );
  if (withoutBody !== undefined) return withoutBody;
  const chosen = candidates.find(({ consumes }) => (consumes ?? "application/json") === sent);
  if (chosen !== undefined) return chosen;
  const allowed = candidates.map(({ consumes }) => consumes ?? "application/json");
  throw new BrokerError("unsupported_media_type", `a body must be ${allowed.join(" or ")}`, {
    field: "content-type",
    given: sent,
    allowed,
  });
}

/** A media type without its parameters. */
function typeIn(header: string | undefined): string | undefined {
  return header?.split(";")[0]?.trim().toLowerCase();
}

/** What an operation makes of no query at all, which is what most sends bring. */
const emptyQueries = new WeakMap<Described, unknown>();

function queryOf(operation: Described, query: URLSearchParams): unknown {
  if (query.size > 0 || operation.query === undefined) return parsedQuery(operation, query);
  const known = emptyQueries.get(operation) ?? parsedQuery(operation, query);
  emptyQueries.set(operation, known);
  return known;
}

function parsedQuery({ query: schema }: Described, query: URLSearchParams): unknown {
  // Null prototype: a field may be called __proto__.
  const fields = Object.create(null) as Record<string, string>;
  query.forEach((value, field) => {
    if (field in fields) throw badRequest(field, "several values", "given once");
    fields[field] = value;
  });
  return schema === undefined ? expectNone(fields, "query") : parse(schema, fields);
}

function bodyOf({ body: schema, consumes }: Described, { body }: HttpRequest): unknown {
  if (consumes === batchType) return body;
  if (body.length === 0 && schema?.isOptional()) return undefined;
  if (schema === undefined) {
    if (body.length > 0) throw badRequest("body", `${body.length} bytes`, "empty");
    return undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(body));
  } catch (cause) {
    const allowed = `JSON in UTF-8: ${(cause as Error).message}`;
    throw badRequest("body", `${body.length} bytes`, allowed, { cause });
  }
  return parse(schema, value);
}

function expectNone(fields: object, where: string): undefined {
  const [field] = Object.keys(fields);
  if (field !== undefined)
    throw new BrokerError("invalid", `${field} is not taken here`, {
      field,
      given: "given",
      allowed: `no ${where} field`,
    });
}

function decoded(params: Record<string, string>): Record<string, string> {
  for (const [field, value] of Object.entries(params)) {
    if (!value.includes("%")) continue;
    try {
      params[field] = decodeURIComponent(value);
    } catch (cause) {
      throw badRequest(field, value, "percent-encoded UTF-8", { cause });
    }
  }
  return params;
}

function toResponse({ status, json: value, jsonText, bytes, facts = {} }: Answer): HttpResponse {
  if (jsonText !== undefined) return ofJson(status, jsonText);
  if (bytes === undefined) return json(status, value);
  const headers: Record<string, string> = { "content-type": batchesType };
  for (const [fact, number] of Object.entries(facts)) {
    headers[`x-tasso-${fact.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`] =
      String(number);
  }
  return { status, headers, body: bytes };
}

function failed(
  error: unknown,
  requestId: string,
  onError: HttpApiOptions["onError"],
): HttpResponse {
  const known = isBrokerError(error)
    ? error
    : new BrokerError("internal", "a bug; it was logged", {}, { cause: error });
  if (known.status === 500 || known.code === "unavailable") onError(error, requestId);
  return refusal(known, requestId);
}

function json(status: number, value: unknown): HttpResponse {
  if (value === undefined) return { status, headers: {}, body: undefined };
  return ofJson(status, JSON.stringify(value));
}

function ofJson(status: number, body: string): HttpResponse {
  return { status, headers: { "content-type": "application/json" }, body };
}

function badRequest(
  field: string,
  given: unknown,
  allowed: string,
  options?: ErrorOptions,
): BrokerError {
  const message = `${field} must be ${allowed}`;
  return new BrokerError("bad_request", message, { field, given, allowed }, options);
}

function requestIdOf(request: Pick<HttpRequest, "header">): string | undefined {
  const given = request.header("x-request-id");
  return given !== undefined && /^[\w.-]{1,128}$/.test(given) ? given : undefined;
}

/** 16 hexadecimal digits: what this process drew when it began, and a number. Drawing for each request takes longer. */
function requestIds(random: Random): () => string {
  const begin = hex(random.bytes(4));
  let count = 0;
  return () => begin + (++count >>> 0).toString(16).padStart(8, "0");
}

function routerOf<B extends HasPorts>(
  operations: readonly Operation<B>[],
): RouterContext<Route<B>> {
  const router = createRouter<Route<B>>();
  for (const { method, path } of new Map(
    operations.map((operation) => [`${operation.method} ${operation.path}`, operation]),
  ).values()) {
    const route = operations.filter((other) => other.method === method && other.path === path);
    addRoute(router, method, path.replace(/\{(\w+)\}/g, ":$1"), route);
  }
  return router;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
