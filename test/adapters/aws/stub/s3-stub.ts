import type { StubAnswer, StubRequest } from "./aws-stub.ts";

interface StubObject {
  readonly bytes: Buffer;
  readonly metadata: Readonly<Record<string, string>>;
}

/** S3 with one bucket, addressed by path. */
export class S3Stub {
  readonly objects = new Map<string, StubObject>();
  /** A page of a list has at most so many keys, whatever was asked for. */
  listKeysMax = 1_000;

  nameOf({ method, path }: StubRequest): string | undefined {
    if (method === "GET" && keyOf(path) === "") return "ListObjectsV2";
    return { PUT: "PutObject", GET: "GetObject", HEAD: "HeadObject", DELETE: "DeleteObject" }[
      method
    ];
  }

  handle(operation: string, request: StubRequest): StubAnswer {
    const key = keyOf(request.path);
    const object = this.objects.get(key);
    switch (operation) {
      case "PutObject":
        return this.#put(key, object, request);
      case "GetObject":
        return object ? get(object, request.headers.range) : s3Error(404, "NoSuchKey");
      case "HeadObject":
        return object ? { status: 200, headers: headersOf(object) } : { status: 404 };
      case "DeleteObject":
        this.objects.delete(key);
        return { status: 204 };
      default:
        return this.#list(request.query);
    }
  }

  #put(key: string, earlier: StubObject | undefined, { headers, body }: StubRequest): StubAnswer {
    if (headers["if-none-match"] !== "*") return s3Error(400, "InvalidRequest");
    if (earlier) return s3Error(412, "PreconditionFailed");
    const metadata = Object.entries(headers).filter(([name]) => name.startsWith("x-amz-meta-"));
    this.objects.set(key, { bytes: body, metadata: Object.fromEntries(metadata) as never });
    return { status: 200 };
  }

  #list(query: URLSearchParams): StubAnswer {
    const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
    const limit = Math.min(Number(query.get("max-keys") ?? 1_000), this.listKeysMax);
    const keys = [...this.objects.keys()]
      .filter((key) => key.startsWith(query.get("prefix") ?? "") && key > after)
      .sort();
    const page = keys.slice(0, limit);
    const contents = page.map(
      (key) =>
        `<Contents><Key>${key}</Key><Size>${this.objects.get(key)?.bytes.length}</Size></Contents>`,
    );
    const isCut = page.length < keys.length;
    const next = isCut
      ? `<NextContinuationToken>${page.at(-1) ?? after}</NextContinuationToken>`
      : "";
    return xml(
      200,
      `<ListBucketResult><IsTruncated>${isCut}</IsTruncated>${next}${contents.join("")}</ListBucketResult>`,
    );
  }
}

export function s3Error(status: number, code: string): StubAnswer {
  return xml(status, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
}

function get(object: StubObject, range: string | undefined): StubAnswer {
  if (range === undefined) return { status: 200, headers: headersOf(object), body: object.bytes };
  const [, first = "", last = ""] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
  if (Number(first) >= object.bytes.length) return s3Error(416, "InvalidRange");
  const bytes = object.bytes.subarray(Number(first), Number(last) + 1);
  return { status: 206, headers: headersOf({ ...object, bytes }), body: bytes };
}

function headersOf({ bytes, metadata }: StubObject): Record<string, string> {
  return { ...metadata, "content-length": `${bytes.length}` };
}

function xml(status: number, text: string): StubAnswer {
  const headers = { "content-type": "application/xml" };
  return { status, headers, body: `<?xml version="1.0" encoding="UTF-8"?>\n${text}` };
}

/** What follows the bucket. */
function keyOf(path: string): string {
  return decodeURIComponent(path.split("/").slice(2).join("/"));
}
