import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Clock } from "../../../../src/broker/ports/clock.ts";
import { DynamoStub } from "./dynamo-stub.ts";
import { LambdaStub } from "./lambda-stub.ts";
import { S3Stub } from "./s3-stub.ts";
import { SchedulerStub } from "./scheduler-stub.ts";

export interface StubRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface StubAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/**
 * What befalls a request. `lose`: the connection breaks, nothing was done. `swallow`: it was done and the connection breaks
 * before the answer. `stall` and `stall-after`: the same, but nobody is told. `cut`: half of the answer comes.
 * `fail-after`: it was done and the answer is 500. An answer: nothing was done and this is said.
 */
export type StubFault =
  | "lose"
  | "swallow"
  | "stall"
  | "stall-after"
  | "cut"
  | "fail-after"
  | StubAnswer;

/** Asked for every request with its name, such as `PutItem`; `undefined` for none. */
export type StubPlan = (operation: string, request: StubRequest) => StubFault | undefined;

/**
 * DynamoDB, S3, the Scheduler and Lambda as AWS documents them, over memory, as far as the adapters use them: stricter than
 * an emulator, and with every fault on demand.
 */
export class AwsStub {
  readonly dynamo = new DynamoStub();
  readonly s3 = new S3Stub();
  readonly lambda: LambdaStub;
  readonly scheduler: SchedulerStub;
  /** The name of every request, in the order in which they came. */
  readonly requests: string[] = [];
  plan: StubPlan = () => undefined;
  readonly #server: Server;

  private constructor(clock: Clock) {
    this.lambda = new LambdaStub(clock);
    this.scheduler = new SchedulerStub(clock, this.lambda);
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        response.writeHead(500).end(`the stub is broken: ${error}`);
      });
    });
  }

  static async start(clock: Clock): Promise<AwsStub> {
    const stub = new AwsStub(clock);
    await new Promise<void>((listening) => stub.#server.listen(0, "127.0.0.1", listening));
    return stub;
  }

  get endpoint(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the stub has no port");
    return `http://127.0.0.1:${address.port}`;
  }

  /** What a client of the SDK is given to talk to it. */
  get client() {
    const credentials = { accessKeyId: "test", secretAccessKey: "test" };
    return { endpoint: this.endpoint, region: "us-east-1", credentials };
  }

  /** The next requests of this name meet these faults, one each; `undefined` lets one pass. */
  next(operation: string, ...faults: (StubFault | undefined)[]): void {
    const earlier = this.plan;
    const left = [...faults];
    this.plan = (name, request) =>
      name === operation && left.length > 0 ? left.shift() : earlier(name, request);
  }

  async stop(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await readRequest(incoming);
    const { operation, run } = this.#route(request);
    this.requests.push(operation);
    const fault = this.plan(operation, request);
    if (fault === "lose") incoming.socket.resetAndDestroy();
    else if (fault === "stall") return;
    else if (typeof fault === "object") send(response, fault);
    else {
      const answer = await run();
      if (fault === "swallow") incoming.socket.resetAndDestroy();
      else if (fault === "cut") await sendHalf(response, answer);
      else if (fault === "fail-after") send(response, { status: 500, body: "" });
      else if (fault === undefined) send(response, answer);
    }
  }

  #route(request: StubRequest): {
    operation: string;
    run: () => StubAnswer | Promise<StubAnswer>;
  } {
    const [, target] =
      /^DynamoDB_20120810\.(\w+)$/.exec(`${request.headers["x-amz-target"]}`) ?? [];
    if (target) return { operation: target, run: () => this.dynamo.handle(target, request) };
    const services = [this.scheduler, this.lambda, this.s3];
    for (const service of services) {
      const operation = service.nameOf(request);
      if (operation) return { operation, run: () => service.handle(operation, request) };
    }
    return { operation: "unknown", run: () => ({ status: 400, body: "no such operation" }) };
  }
}

async function readRequest(incoming: IncomingMessage): Promise<StubRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const url = new URL(incoming.url ?? "/", "http://stub");
  return {
    method: incoming.method ?? "",
    path: url.pathname,
    query: url.searchParams,
    headers: incoming.headers,
    body: Buffer.concat(chunks),
  };
}

function send(response: ServerResponse, { status, headers, body }: StubAnswer): void {
  response.writeHead(status, headers).end(body ?? "");
}

async function sendHalf(
  response: ServerResponse,
  { status, headers, body = "" }: StubAnswer,
): Promise<void> {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, "content-length": `${bytes.length}` });
  await new Promise((sent) => response.write(bytes.subarray(0, bytes.length / 2), sent));
  response.destroy();
}
