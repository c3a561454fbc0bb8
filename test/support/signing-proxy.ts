import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Fetch } from "./http-client.ts";

/** Signs what passes through it, for programs that are told an address and nothing of AWS. */
export async function startSigningProxy(url: string, send: Fetch) {
  const server = createServer(async (request, response) => {
    try {
      const body = await buffer(request);
      const type = request.headers["content-type"];
      const answer = await send(url + request.url, {
        method: request.method ?? "GET",
        headers: type === undefined ? {} : { "content-type": type },
        ...(body.length === 0 ? {} : { body: Buffer.from(body) }),
      });
      const kept = ["content-type", "x-broker-time", "x-request-id"];
      response.writeHead(
        answer.status,
        Object.fromEntries(
          kept.flatMap((name) => {
            const value = answer.headers.get(name);
            return value === null ? [] : [[name, value]];
          }),
        ),
      );
      response.end(Buffer.from(await answer.arrayBuffer()));
    } catch {
      response.destroy();
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
