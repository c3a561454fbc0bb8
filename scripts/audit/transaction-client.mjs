// A producer of one transaction, as a process that kills itself at a point: `node transaction-client.mjs JSON`.
// Its local database is a folder with a file for each transaction that it decided.
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { argv, exit, kill, pid } from "node:process";

const { url, topic, group, mark, verb, dieAt, database } = JSON.parse(argv[2] ?? "{}");

/** @param {string} point */
function reach(point) {
  if (point === dieAt) kill(pid, "SIGKILL");
}

/** @param {string} target @param {object | undefined} payload @param {string} sentPoint */
function post(target, payload, sentPoint) {
  return new Promise((resolve, reject) => {
    const body = payload === undefined ? "" : JSON.stringify(payload);
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    const sent = request(url + target, { method: "POST", headers }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode, json: JSON.parse(text) }));
    });
    sent.on("error", reject);
    // The request has left this process; its answer is not read.
    sent.end(body, () => reach(sentPoint));
  });
}

reach("before prepare");
const message = { body: `${mark}|${"x".repeat(100)}`, messageId: mark };
const half = { message, producerGroup: group, checkAfterMs: 1_000 };
const prepared = await post(`/v1/topics/${topic}/transactions`, half, "prepare sent");
if (prepared.status !== 200) throw new Error(JSON.stringify(prepared.json));
reach("prepared");
try {
  writeFileSync(`${database}/${mark}`, verb, { flag: "wx" });
} catch {
  // Whoever answered its check decided: it took too long.
  exit(0);
}
reach("decided");
const path = `/v1/transactions/${prepared.json.transactionId}/${verb}`;
const ended = await post(path, undefined, "end sent");
if (ended.status !== 200) throw new Error(JSON.stringify(ended.json));
reach("ended");
exit(0);
