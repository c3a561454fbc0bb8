import type * as z from "zod";
import type { ErrorCode } from "../broker/errors.ts";
import type { Ports } from "../broker/ports/ports.ts";
import type { RequestBroker } from "../broker/request-broker.ts";

/**
 * What a caller must be allowed to do. Functions, policies and tokens are cut along these. `route` comes with any other:
 * whoever may do something may ask where.
 */
export type Right =
  | "none"
  | "route"
  | "send"
  | "transact"
  | "pull"
  | "commit"
  | "forward"
  | "admin";

/** What operations are asked of: a broker, a part of one, or a name server. */
export interface HasPorts {
  readonly ports: Ports;
}

/** What of the ports an operation may need. Policies grant a function what its operations use and nothing else. */
export type Ability =
  | "readStore"
  | "writeStore"
  | "readBlobs"
  | "writeBlobs"
  | "setAlarms"
  | "callWebhooks";

/** The types of bodies and answers that are not JSON. */
export const batchType = "application/vnd.tasso.batch.v1";
export const batchesType = "application/vnd.tasso.batches.v1";

/** What an operation works with: a broker, and the ports of this one request, metered. */
export interface OperationContext<B extends HasPorts = RequestBroker> {
  readonly broker: B;
  readonly io: Ports;
}

/** What an operation answers: a value for JSON, or bytes of the type that it `produces`. */
export interface Answer {
  readonly status: 200 | 201 | 204;
  readonly json?: unknown;
  /** The same, encoded already. */
  readonly jsonText?: string;
  /** In parts that follow each other. */
  readonly bytes?: readonly Uint8Array[];
  /** Facts about a binary answer, told in headers `x-tasso-{name}`. */
  readonly facts?: Readonly<Record<string, number>>;
}

/** One thing that a broker can be asked, described once for every front: routes, validation, OpenAPI, rights, policies. */
export interface Operation<B extends HasPorts = RequestBroker> {
  readonly name: string;
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** As in OpenAPI: `/v1/topics/{topic}`. */
  readonly path: string;
  readonly summary: string;
  readonly right: Right;
  readonly uses: readonly Ability[];
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** The body is bytes of this type instead of JSON. */
  readonly consumes?: typeof batchType;
  /** The answer is bytes of this type, for callers who accept it. */
  readonly produces?: typeof batchesType;
  /** By status; null where the answer has no body or is bytes. */
  readonly answers: Readonly<Record<number, z.ZodType | null>>;
  readonly errors: readonly ErrorCode[];
  readonly run: (context: OperationContext<B>, input: never) => Promise<Answer>;
}

/** An operation without the work. */
export type Described = Omit<Operation, "run">;

type Parsed<S> = S extends z.ZodType ? z.output<S> : undefined;

/** The input of an operation as its schemas describe it. */
export interface Input<P, Q, B> {
  readonly params: Parsed<P>;
  readonly query: Parsed<Q>;
  /** `undefined` where the schema is optional and no body came. */
  readonly body: B extends z.ZodType ? z.output<B> : Uint8Array;
}

/** Ties the type of `run` to the schemas. */
export function defineOperation<
  P extends z.ZodType | undefined = undefined,
  Q extends z.ZodType | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
  K extends HasPorts = RequestBroker,
>(
  operation: Omit<Operation, "params" | "query" | "body" | "run"> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    readonly run: (context: OperationContext<K>, input: Input<P, Q, B>) => Promise<Answer>;
  },
): Operation<K> {
  return operation as unknown as Operation<K>;
}
