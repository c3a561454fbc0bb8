import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";
import type { createHttpApi } from "../src/api/http.ts";
import { toRequest, toResult } from "./http-events.ts";
import { logMetrics } from "./log.ts";
import { usageOfCall } from "./usage-of-call.ts";

/** The handler of a function that answers calls: each is a line of metrics in its log. `more` is measured besides. */
export function answering(
  api: ReturnType<typeof createHttpApi>,
  dimensions: { readonly service: string; readonly function: string },
  more: () => { readonly conflicts?: number } = () => ({}),
): (event: APIGatewayProxyEventV2) => Promise<APIGatewayProxyStructuredResultV2> {
  return async (event) => {
    const began = Date.now();
    const request = toRequest(event);
    const answer = await api(request);
    logMetrics(
      dimensions,
      { ...usageOfCall(request, answer), ...more() },
      { requestId: answer.headers["x-request-id"], status: answer.status, ms: Date.now() - began },
    );
    return toResult(answer);
  };
}
