// A consumer as a process of its own, so that it can be killed with messages in hand. It tells each thing it does in a
// line on its standard output, which is written before it goes on: what it was given, what it settled, and when.
import { Agent, request } from "node:http";

const { url, group, topic, connections, orderly } = JSON.parse(process.argv[2]);
const agent = new Agent({ keepAlive: true, maxSockets: connections });

function post(verb, json) {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify(json);
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    const sent = request(
      `${url}/v1/groups/${group}/${verb}`,
      { agent, method: "POST", headers },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part) => (text += part));
        answer.on("end", () => resolve({ status: answer.statusCode, json: JSON.parse(text) }));
        answer.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

const tell = (kind, at, ids) => {
  if (ids.length > 0) process.stdout.write(`${kind} ${at} ${ids.join(" ")}\n`);
};

async function settle(verb, messages, more = {}) {
  if (messages.length === 0) return;
  const startedAt = Date.now();
  tell(
    `try-${verb}`,
    startedAt,
    messages.map(({ id }) => id),
  );
  const { json } = await post(verb, {
    receiptHandles: messages.map((each) => each.receiptHandle),
    ...more,
  });
  const results = json.results ?? json.details?.results ?? [];
  const done = messages.filter((_, index) => results[index]?.status === "OK");
  tell(
    verb,
    startedAt,
    done.map(({ id }) => id),
  );
}

async function work() {
  for (;;) {
    const answer = await post("receive", { topic, max: 32, invisibleMs: 5_000, waitMs: 1_000 });
    if (answer.status !== 200) continue;
    const given = answer.json.messages.map((each) => {
      const [id, kind, chain] = each.body.split(" ");
      return { ...each, id, kind, chain };
    });
    tell(
      "given",
      Date.now(),
      given.map(({ id, deliveryAttempt }) => `${id}#${deliveryAttempt}`),
    );
    const stuck = new Set();
    const acked = [];
    const back = [];
    for (const message of given) {
      const { kind, chain, deliveryAttempt } = message;
      const fails = kind === "fails" || (kind === "once" && deliveryAttempt === 1);
      if (orderly && stuck.has(chain)) continue;
      if (fails) {
        stuck.add(chain);
        back.push(message);
      } else acked.push(message);
    }
    // In an orderly group what comes behind one that failed is given back, too, and comes behind it again.
    await settle("ack", acked);
    await settle("nack", back);
    const left = given.filter((each) => !acked.includes(each) && !back.includes(each));
    await settle("nack", left, { delayMs: 0 });
  }
}

for (let connection = 0; connection < connections; connection++)
  void work().catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
