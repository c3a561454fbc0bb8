import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** So long an answer is waited for (ms); then the connection is cut. */
  readonly patienceMs?: number;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** The request was sent, or begun, and no answer came. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** One connection that is kept: what it is used for comes one after the other. */
export function oneConnection(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

/** Makes one request, never again by itself. Rejects with {@link NoAnswer}. */
export function call(agent: Agent, url: string, wanted: Call): Promise<Reply> {
  const { method, path, headers, body, patienceMs } = wanted;
  return new Promise<Reply>((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(new NoAnswer(`${method} ${path}: ${(cause as Error).message}`, { cause }));
    const length = body === undefined ? {} : { "content-length": String(body.length) };
    const options = { agent, method, headers: { ...headers, ...length } };
    const sent = request(url + path, options, (response) => {
      read(response).then(resolve, fail);
    });
    const cut = () => sent.destroy(new Error("patience ended"));
    const timer = patienceMs === undefined ? undefined : setTimeout(cut, patienceMs);
    sent.on("error", fail);
    sent.on("close", () => clearTimeout(timer));
    sent.end(body);
  });
}

async function read(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks),
  };
}

const shared = new Agent({ keepAlive: false });

/** A request with JSON both ways, whatever its status. */
export async function callJson<T>(
  url: string,
  method: string,
  path: string,
  value?: unknown,
): Promise<{ readonly status: number; readonly json: T }> {
  const body = value === undefined ? undefined : Buffer.from(JSON.stringify(value));
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const reply = await call(shared, url, {
    method,
    path,
    headers,
    ...(body === undefined ? {} : { body }),
  });
  const text = reply.body.toString();
  return { status: reply.status, json: (text === "" ? undefined : JSON.parse(text)) as T };
}

const triesMax = 20;

/** The same; a store that fails on purpose may refuse several times, and 503 is asked again. */
export async function askJson<T>(
  url: string,
  method: string,
  path: string,
  value?: unknown,
): Promise<{ readonly status: number; readonly json: T }> {
  let answer = await callJson<T>(url, method, path, value);
  for (let tries = 1; answer.status === 503 && tries < triesMax; tries++) {
    answer = await callJson<T>(url, method, path, value);
  }
  return answer;
}

/** The same where anything but success is the end. */
export async function expectJson<T>(
  url: string,
  method: string,
  path: string,
  value?: unknown,
): Promise<T> {
  const { status, json } = await askJson<T>(url, method, path, value);
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
  return json;
}
