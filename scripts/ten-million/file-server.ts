/*
 * The least that could hand out archived files over HTTP on Node: `file-server FOLDER`. GET of a path below the folder
 * streams that file. The measure of replays; runs in a process of its own.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

const [folder = "."] = process.argv.slice(2);
/** With the usual 64 KB it takes three times as long. */
const chunkBytes = 1_048_576;

async function answer(path: string, response: ServerResponse): Promise<void> {
  const file = join(folder, path);
  const { size } = await stat(file);
  response.writeHead(200, { "content-length": String(size) });
  await pipeline(createReadStream(file, { highWaterMark: chunkBytes }), response);
}

const server = createServer((request, response) => {
  answer(request.url ?? "", response).catch(() => response.destroy());
});
server.listen({ host: "127.0.0.1", port: 0 }, () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`file-server listens on http://127.0.0.1:${port}\n`);
});
process.once("SIGTERM", () => process.exit(0));
