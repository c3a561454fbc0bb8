/*
 * The client library behind a proxy that drops 10 % of the replies and holds 5 % of the first requests until a retry of
 * theirs was answered: sends in 50 message groups, one after the other and many at a time. None is lost, none is stored
 * twice, receipts tell the truth, and within a message group the order is that of the calls.
 *
 *   node --import tsx scripts/sdk-proxy.ts [--seed N] [--rounds 10000] [--control]
 *
 * `--rounds` is the number of sends. Control: the same with a client that draws another batch id for each attempt.
 */
import { pathToFileURL } from "node:url";
import { seededRandom } from "../src/adapters/faulty/faults.ts";
import type * as Client from "../src/client/index.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { expectJson } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { RetryProxy } from "./audit/retry-proxy.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const topic = "orders";
const queues = 8;
const groups = 50;
const faults = { droppedShare: 0.1, heldBackShare: 0.05 };
/** Small batches, so that many requests meet with something. */
const batchBytes = 300;
const timeoutMs = 30_000;
/** Every so many sends of a group its producer waits for the answer. */
const awaitedShare = 0.3;

const { seed, rounds, controlOnly } = readCommandLine("sdk-proxy", { rounds: 10_000 });

const bug: Patch = {
  file: "src/client/deliver.ts",
  find: "if (placement === undefined || !attempt.outcomeUnknown) placement",
  replace: "placement",
};

interface Outcome {
  readonly violations: readonly string[];
  readonly seen: RetryProxy["seen"];
}

async function sendThroughProxy(patches: readonly Patch[]): Promise<Outcome> {
  const name = patches.length === 0 ? "client" : "client-control";
  const bundled = await buildServer(`sdk-proxy-${name}`, patches, "src/client/index.ts");
  const { Producer } = (await import(pathToFileURL(bundled).href)) as typeof Client;
  const bundle = await buildServer("sdk-proxy");
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    await expectJson(server.url, "PUT", `/v1/topics/${topic}`, { queues });
    const proxy = await RetryProxy.listen([server.url], faults);
    const producer = new Producer({ brokers: [proxy.url], batchBytes, timeoutMs });
    const told = new Map<string, string>();
    const violations: string[] = [];
    await Promise.all(
      Array.from({ length: groups }, (_, i) => sendGroup(producer, i, told, violations)),
    );
    await producer.close();
    await proxy.close();
    violations.push(...(await audit(server.url, told)), ...proxy.violations);
    const { firstsDropped, retriesDropped, heldBack } = proxy.seen;
    printTable([
      {
        sends: rounds,
        told: told.size,
        "first replies dropped": firstsDropped,
        "later ones": retriesDropped,
        "first came late": heldBack,
      },
    ]);
    printViolations(violations);
    await server.stop();
    return { violations, seen: proxy.seen };
  });
}

/** From dice of its own, so that a group sends the same each time. */
async function sendGroup(
  producer: Client.Producer,
  group: number,
  told: Map<string, string>,
  violations: string[],
): Promise<void> {
  const dice = seededRandom(seed + group);
  const hear = (body: string, receipt: Client.Receipt | undefined) => {
    if (told.has(body)) violations.push(`${body} was told twice`);
    if (receipt !== undefined && "offset" in receipt)
      told.set(body, `${receipt.queue}/${receipt.offset}`);
  };
  for (let number = 0; number < rounds / groups; number++) {
    const body = `${group}/${number}`;
    const message = { topic, body, messageGroup: `group-${group}` };
    if (dice() < awaitedShare) {
      try {
        hear(body, await producer.send(message));
      } catch (error) {
        violations.push(`${body}: ${(error as Error).message}`);
      }
    } else {
      const hasRoom = producer.sendAsync(message, (error, receipt) => {
        if (error === undefined) hear(body, receipt);
        else violations.push(`${body}: ${error.message}`);
      });
      if (!hasRoom) await producer.ready();
    }
  }
}

interface Stored {
  readonly body: string;
  readonly offset: number;
}

/** Everything that was sent, read from the server itself. */
async function audit(url: string, told: ReadonlyMap<string, string>): Promise<string[]> {
  const violations: string[] = [];
  const places = new Map<string, string>();
  const next = new Map<string, number>();
  for (let queue = 0; queue < queues; queue++) {
    for (let offset = 0; ; ) {
      const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&max=1024&maxBytes=4194304`;
      const page = await expectJson<{ messages: Stored[]; nextOffset: number }>(url, "GET", path);
      if (page.messages.length === 0) break;
      for (const message of page.messages) {
        const { body } = message;
        const place = `${queue}/${message.offset}`;
        if (places.has(body))
          violations.push(`${body} lies at ${places.get(body)}, a second time at ${place}`);
        else {
          const [group = "", number = ""] = body.split("/");
          if ((next.get(group) ?? 0) !== Number(number))
            violations.push(`${body} came where ${group}/${next.get(group) ?? 0} was due`);
          next.set(group, Number(number) + 1);
        }
        places.set(body, place);
      }
      offset = page.nextOffset;
    }
  }
  for (const [body, place] of told)
    if (places.get(body) !== place)
      violations.push(`${body} was told to be at ${place}, it is at ${places.get(body)}`);
  if (places.size !== rounds) violations.push(`${rounds} were sent, ${places.size} are there`);
  return violations;
}

async function real(): Promise<boolean> {
  say("the client as it is");
  const { violations, seen } = await sendThroughProxy([]);
  const met = Math.min(seen.firstsDropped, seen.heldBack);
  return [
    judge("none lost, none twice, order kept, receipts true", violations.length === 0),
    judge("the proxy dropped replies and held requests back", met > 0),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: another batch id for each attempt");
  const { violations } = await sendThroughProxy([bug]);
  return judge(
    "the audit sees doubles",
    violations.some((text) => text.includes("a second time")),
  );
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
