/** How a request gets on its way. */
export type Fetch = (
  url: string,
  request: {
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly body?: string | Buffer<ArrayBuffer>;
  },
) => Promise<Response>;

/** A small client for tests: raw requests, and answers as they came. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  /** The body as JSON; `undefined` where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly json: any;
}

export interface CallOptions {
  readonly json?: unknown;
  /** A body as it is, with its type. */
  readonly body?: string | Uint8Array;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const batchType = "application/vnd.tasso.batch.v1";
export const batchesType = "application/vnd.tasso.batches.v1";

export async function call(
  url: string,
  method: string,
  path: string,
  { json, body, type, headers = {} }: CallOptions = {},
  send: Fetch = fetch,
): Promise<Answer> {
  const sent = json === undefined ? body : JSON.stringify(json);
  const contentType = type ?? (json === undefined ? undefined : "application/json");
  const response = await send(`${url}${path}`, {
    method,
    headers: { ...(contentType === undefined ? {} : { "content-type": contentType }), ...headers },
    ...(sent === undefined ? {} : { body: typeof sent === "string" ? sent : Buffer.from(sent) }),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const isJson = response.headers.get("content-type") === "application/json";
  const text = isJson ? new TextDecoder().decode(bytes) : "";
  return {
    status: response.status,
    headers: response.headers,
    bytes,
    json: text === "" ? undefined : JSON.parse(text),
  };
}

export interface PulledBatch {
  readonly base: number;
  readonly storedAt: number;
  readonly bytes: Uint8Array;
}

/** Takes apart `[baseOffset u64, storedAt u64, length u32, batch]*`, by the book and not by the broker's code. */
export function pulledBatches(answer: Uint8Array): PulledBatch[] {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const batches: PulledBatch[] = [];
  for (let at = 0; at < answer.length; ) {
    const base = Number(view.getBigUint64(at));
    const storedAt = Number(view.getBigUint64(at + 8));
    const length = view.getUint32(at + 16);
    batches.push({ base, storedAt, bytes: answer.subarray(at + 20, at + 20 + length) });
    at += 20 + length;
  }
  return batches;
}
