/*
 * The bare minimum that a durable HTTP broker on Node and LMDB could be, as the measure of ours: no protocol, no
 * validation, no log. Runs in its own process: `baseline-server FILE plain|overlapping`.
 *
 *   POST   stores the body under the next number and answers when it is on disk
 *   PUT    takes the body as the answer to every GET; kept in memory
 *   GET    gives that answer
 *
 * lmdb joins puts that come while a transaction is under way. There are two durable ways to await one, and which is the
 * faster depends on disk and load, so whoever measures tries both: `plain` turns the overlapping flush off, so that
 * the put's promise resolves behind the flush; `overlapping` awaits `flushed` behind the put.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { open } from "lmdb";

const [path = "", form = "plain"] = process.argv.slice(2);
const overlapping = form === "overlapping";
const db = open<Buffer, number>({
  path,
  noSubdir: true,
  keyEncoding: "uint32",
  encoding: "binary",
  compression: false,
  overlappingSync: overlapping,
});
let stored = 0;
let answer: Buffer = Buffer.alloc(0);
let answerType = "";

async function take(request: IncomingMessage, response: ServerResponse, body: Buffer) {
  if (request.method === "PUT") {
    answer = body;
    answerType = request.headers["content-type"] ?? "";
    response.writeHead(200, { "content-length": "0" });
    response.end();
    return;
  }
  const number = stored++;
  await db.put(number, body);
  if (overlapping) await db.flushed;
  const text = `{"status":"OK","number":${number}}`;
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": String(text.length),
  });
  response.end(text);
}

const server = createServer((request, response) => {
  if (request.method === "GET") {
    response.writeHead(200, {
      "content-type": answerType,
      "content-length": String(answer.length),
    });
    response.end(answer);
    return;
  }
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    take(request, response, body).catch(() => response.destroy());
  });
});
server.listen({ host: "127.0.0.1", port: 0 }, () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`baseline listens on http://127.0.0.1:${port}\n`);
});
process.once("SIGTERM", () => process.exit(0));
