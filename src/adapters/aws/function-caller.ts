import type { SchedulerClient } from "@aws-sdk/client-scheduler";
import { SignatureV4 } from "@smithy/signature-v4";
import type { HttpRequest } from "@smithy/types";
import type { Attempt } from "./attempts.ts";

export interface FunctionCallerOptions {
  /** Whose credentials, region and connections are used. */
  readonly client: SchedulerClient;
  readonly functionArn: string;
  /** Of Lambda, where it is not the public one of the region. */
  readonly endpoint?: string;
}

/**
 * Calls a Lambda function without waiting for it. The one request is made here by hand: Lambda's client would add 69 KB to
 * every function that sets alarms.
 */
export class FunctionCaller {
  readonly #options: FunctionCallerOptions;

  constructor(options: FunctionCallerOptions) {
    this.#options = options;
  }

  /** Resolves when Lambda has taken the event; it then delivers it at least once. Throws errors as the SDK does. */
  async call(event: object, attempt: Attempt): Promise<void> {
    const { config } = this.#options.client;
    const region = await config.region();
    const signer = new SignatureV4({
      service: "lambda",
      region,
      credentials: config.credentials,
      sha256: config.sha256,
    });
    const signed = await signer.sign(this.#request(event, region));
    attempt.beforeSending();
    const { response } = await config.requestHandler.handle(
      signed as Parameters<typeof config.requestHandler.handle>[0],
      { abortSignal: attempt.signal },
    );
    const answer = await config.streamCollector(response.body);
    if (response.statusCode !== 202) throw refusal(response, Buffer.from(answer).toString());
  }

  #request(event: object, region: string): HttpRequest {
    const { functionArn, endpoint = publicEndpoint(region) } = this.#options;
    const { protocol, hostname, port, host, pathname } = new URL(endpoint);
    const path = `/2015-03-31/functions/${encodeURIComponent(functionArn)}/invocations`;
    return {
      method: "POST",
      protocol,
      hostname,
      ...(port === "" ? {} : { port: Number(port) }),
      path: `${pathname.replace(/\/$/, "")}${path}`,
      query: {},
      headers: {
        host,
        "content-type": "application/json",
        "x-amz-invocation-type": "Event",
      },
      body: JSON.stringify(event),
    };
  }
}

function publicEndpoint(region: string): string {
  return `https://lambda.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
}

interface Answer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
}

function refusal({ statusCode, headers }: Answer, text: string): Error {
  const [name = ""] = (headers["x-amzn-errortype"] ?? "").split(":");
  const message = `Lambda answered ${statusCode}: ${text.slice(0, 1_000)}`;
  return Object.assign(new Error(message), {
    name: name || "LambdaError",
    $fault: statusCode < 500 ? "client" : "server",
    $metadata: { httpStatusCode: statusCode },
  });
}
