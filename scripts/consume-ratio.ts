/*
 * How fast messages are received and acknowledged, beside being pulled.
 *
 *   node --import tsx scripts/consume-ratio.ts [--seed N] [--seconds 1] [--slices 3]
 *
 * One server, 16 connections, 32 messages of 1 KB a request. Slices of pulls and of receive-and-acknowledge take turns on
 * the same topic; what counts is the ratio of their medians, which must be at least 0.3.
 */
import { Agent } from "node:http";
import { readCommandLine, say } from "./audit/command-line.ts";
import { call, callJson } from "./audit/http.ts";
import { judge } from "./audit/report.ts";
import { buildServer, finish, ServerProcess, withFolder } from "./audit/server-process.ts";

const topic = "orders";
const queues = 8;
const connections = 16;
const batch = 32;
const ratioMin = 0.3;
const { seconds, slices } = readCommandLine("consume-ratio", { seconds: 1, slices: 3 });

async function fill(url: string, count: number): Promise<void> {
  const body = "x".repeat(1_024);
  for (let sent = 0; sent < count; sent += 32 * queues) {
    const messages = Array.from({ length: 32 * queues }, (_, index) => ({
      body,
      queue: index % queues,
    }));
    await callJson(url, "POST", `/v1/topics/${topic}/messages`, { messages });
  }
}

/** Keeps all connections busy for a slice; answers messages a second. */
async function slice(turn: (connection: number) => Promise<number>): Promise<number> {
  const began = performance.now();
  const endsAt = began + seconds * 1_000;
  let messages = 0;
  await Promise.all(
    Array.from({ length: connections }, async (_, connection) => {
      while (performance.now() < endsAt) {
        const got = await turn(connection);
        messages += got;
      }
    }),
  );
  return messages / ((performance.now() - began) / 1_000);
}

const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

const ratio = await withFolder(async (data) => {
  const server = await ServerProcess.start({ bundle: await buildServer("consume-ratio"), data });
  const { url } = server;
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const type = { "content-type": "application/json" };
  await callJson(url, "PUT", `/v1/topics/${topic}`, { queues });
  // Less than a segment a queue: what is archived is read by blocks of a blob, which would measure those.
  const total = 98_304;
  await fill(url, total);
  const offsets = new Array<number>(connections).fill(0);
  const pull = async (connection: number) => {
    const offset = offsets[connection] ?? 0;
    offsets[connection] = (offset + batch) % (total / queues - batch);
    const path = `/v1/topics/${topic}/queues/${connection % queues}/messages?offset=${offset}&max=${batch}`;
    const { body } = await call(agent, url, { method: "GET", path });
    return (JSON.parse(body.toString()) as { messages: unknown[] }).messages.length;
  };
  const post = async (verb: string, json: object) => {
    const path = `/v1/groups/g/${verb}`;
    const body = Buffer.from(JSON.stringify(json));
    return await call(agent, url, { method: "POST", path, headers: type, body });
  };
  const receive = async () => {
    const { body } = await post("receive", { topic, max: batch });
    const { messages } = JSON.parse(body.toString()) as { messages: { receiptHandle: string }[] };
    const receiptHandles = messages.map((each) => each.receiptHandle);
    if (messages.length > 0) await post("ack", { receiptHandles });
    return messages.length;
  };
  await slice(receive);
  const [pulls, receives]: [number[], number[]] = [[], []];
  for (let round = 0; round < slices; round++) {
    pulls.push(await slice(pull));
    await callJson(url, "POST", `/v1/groups/g/reset/${topic}`, { to: "earliest" });
    receives.push(await slice(receive));
  }
  const units = await post("receive", { topic, max: batch });
  say(
    `  pull ${median(pulls).toFixed(0)}/s, receive and ack ${median(receives).toFixed(0)}/s; a receive: ${units.headers["x-tasso-units"]}`,
  );
  agent.destroy();
  await server.stop();
  return median(receives) / median(pulls);
});
say(`  ratio ${ratio.toFixed(2)}`);
finish(judge(`receive to ack is at least ${ratioMin} of plain pull`, ratio >= ratioMin));
