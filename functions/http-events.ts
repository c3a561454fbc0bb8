import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";
import type { HttpRequest, HttpResponse } from "../src/api/http.ts";

/** A request as an HTTP API or a Function URL hands it to a function (payload format 2.0). */
export function toRequest(event: APIGatewayProxyEventV2): HttpRequest {
  return {
    method: event.requestContext.http.method,
    path: pathOf(event),
    query: new URLSearchParams(event.rawQueryString),
    header: (name) => event.headers[name],
    body: Buffer.from(event.body ?? "", event.isBase64Encoded ? "base64" : "utf8"),
  };
}

/**
 * The path as the caller encoded it. An HTTP API decodes it, so that of a route it knows the path is built again from
 * the parameters, which also leaves out the prefix of a custom domain. A Function URL leaves it encoded (so do the
 * documents say; emulators decode): there a percent sign that cannot be an encoding stands for itself.
 */
function pathOf({ routeKey, rawPath, pathParameters = {} }: APIGatewayProxyEventV2): string {
  if (routeKey === "$default") return rawPath.replace(/%(?![0-9A-Fa-f]{2})/g, "%25");
  const template = routeKey.slice(routeKey.indexOf(" ") + 1);
  return template.replace(/\{(\w+)\}/g, (_, name) =>
    encodeURIComponent(pathParameters[name] ?? ""),
  );
}

/**
 * Text of more bytes is handed on in base64. A function may answer 6 MB, of which base64 takes a third; plain text is
 * escaped once more on its way, which can double it.
 */
const plainTextBytesMax = 2_500_000;

export function toResult({
  status,
  headers,
  body,
}: HttpResponse): APIGatewayProxyStructuredResultV2 {
  if (body === undefined) return { statusCode: status, headers };
  if (typeof body === "string" && Buffer.byteLength(body) <= plainTextBytesMax) {
    return { statusCode: status, headers, body };
  }
  const bytes = typeof body === "string" ? Buffer.from(body) : Buffer.concat(body);
  return { statusCode: status, headers, body: bytes.toString("base64"), isBase64Encoded: true };
}
