// Another process of a producer group: it asks which halves are open and ends each as the local database says, until it is
// ended itself. `node check-process.mjs JSON`; with `looks: false` it commits whatever it is asked about. A line each answer.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { argv, stdout } from "node:process";

const { url, group, database, looks } = JSON.parse(argv[2] ?? "{}");

/** @param {string} path @param {object} [json] */
function post(path, json) {
  return new Promise((resolve, reject) => {
    const body = json === undefined ? "" : JSON.stringify(json);
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    const sent = request(url + path, { method: "POST", headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      response.on("end", () => resolve({ status: response.statusCode, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** What the database does not know was not decided, and from now on it is. @param {string} mark */
function decisionOf(mark) {
  if (!looks) return "commit";
  const file = `${database}/${mark}`;
  if (!existsSync(file)) {
    try {
      writeFileSync(file, "rollback", { flag: "wx" });
    } catch {
      // Its producer decided meanwhile.
    }
  }
  return readFileSync(file, "utf8");
}

for (;;) {
  const { status, text } = await post(`/v1/producer-groups/${group}/checks`, { waitMs: 1_000 });
  if (status !== 200) continue;
  for (const { transactionId, message } of JSON.parse(text).checks) {
    const verb = decisionOf(message.messageId);
    const ended = await post(`/v1/transactions/${transactionId}/${verb}`);
    stdout.write(`${message.messageId} ${verb} ${ended.status}\n`);
  }
}
