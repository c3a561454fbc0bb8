import type { HttpRequest, HttpResponse } from "../src/api/http.ts";
import type { MetricName } from "./log.ts";

/** What one call moved and cost, as far as its request and its answer tell. */
export function usageOfCall(
  request: HttpRequest,
  answer: HttpResponse,
): Record<
  Extract<MetricName, "messages" | "bytes" | "writeUnits" | "readUnits" | "failures">,
  number
> {
  const [, w = 0, r = 0] = /^w=(\S+) r=(\S+)/.exec(answer.headers["x-tasso-units"] ?? "") ?? [];
  return {
    messages: answer.status === 200 ? messagesMoved(request, answer) : 0,
    bytes: request.body.length + bytesOf(answer.body),
    writeUnits: Number(w),
    readUnits: Number(r),
    failures: answer.status >= 500 ? 1 : 0,
  };
}

/** Messages that were sent, or by how many a pull gets on. */
function messagesMoved({ method, path, query }: HttpRequest, answer: HttpResponse): number {
  if (!path.endsWith("/messages")) return 0;
  const text = typeof answer.body === "string" ? answer.body : "";
  if (method === "POST") {
    const { results, count } = JSON.parse(text) as { results?: readonly object[]; count?: number };
    return count ?? results?.filter((result) => !("error" in result)).length ?? 0;
  }
  const next = /"nextOffset":(\d+),[^{}[\]]*\}$/.exec(text)?.[1];
  return Number(next ?? answer.headers["x-tasso-next-offset"]) - Number(query.get("offset"));
}

function bytesOf(body: HttpResponse["body"]): number {
  if (body === undefined) return 0;
  if (typeof body === "string") return Buffer.byteLength(body);
  return body.reduce((sum, part) => sum + part.length, 0);
}
