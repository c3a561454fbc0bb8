import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { pause } from "./delayed.ts";
import { askJson } from "./http.ts";

/** Where producers of transactions work: a server, and the folder that is their local database, a file for each decision. */
export interface Shop {
  readonly url: string;
  readonly topic: string;
  readonly queues: number;
  readonly group: string;
  readonly database: string;
}

/** What a producer is to do, and where it is killed. */
export interface Plan {
  readonly mark: string;
  readonly verb: "commit" | "rollback";
  readonly dieAt: string;
}

const client = fileURLToPath(new URL("transaction-client.mjs", import.meta.url));

/** Runs a producer of one transaction as a process of its own. Answers whether it was killed. */
export function runClient({ url, topic, group, database }: Shop, plan: Plan): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const given = JSON.stringify({ url, topic, group, database, ...plan });
    const child = spawn(process.execPath, [client, given], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.on("close", (code, signal) => {
      if (code === 0 || signal === "SIGKILL") resolve(signal === "SIGKILL");
      else reject(new Error(errors));
    });
  });
}

interface Listed {
  readonly transactions: readonly { readonly messageId: string; readonly state: string }[];
  readonly nextCursor?: string;
}

async function listed(
  url: string,
  group: string,
  query: string,
): Promise<Listed["transactions"][number][]> {
  const found: Listed["transactions"][number][] = [];
  let cursor = "";
  do {
    const path = `/v1/transactions?producerGroup=${group}&limit=1000${query}${cursor}`;
    const { json } = await askJson<Listed>(url, "GET", path);
    found.push(...json.transactions);
    cursor = json.nextCursor === undefined ? "" : `&cursor=${json.nextCursor}`;
  } while (cursor !== "");
  return found;
}

/** Waits for all that is open to end, up to so often half a second. */
export async function untilAllEnded({ url, group }: Shop, tries = 30): Promise<void> {
  for (let left = tries; left > 0; left--) {
    if ((await listed(url, group, "&state=PREPARED")).length === 0) return;
    await pause(500);
  }
}

/** Where a half did not end as the database says, or is not in the log once or never, as it should be. */
export async function disagreements(shop: Shop, plans: readonly Plan[]): Promise<string[]> {
  const { url, group, database } = shop;
  const all = await listed(url, group, "");
  const states = new Map(all.map((each) => [each.messageId, each.state]));
  const counts = await messageCounts(shop);
  return plans.flatMap(({ mark, dieAt }) => {
    const file = `${database}/${mark}`;
    const decided = existsSync(file) ? readFileSync(file, "utf8") : "nothing";
    const state = states.get(mark) ?? "not there";
    const count = counts.get(mark) ?? 0;
    const expected = { commit: "COMMITTED", rollback: "ROLLED_BACK" }[decided] ?? "not there";
    const wrong: string[] = [];
    if (state !== expected) wrong.push(`${mark} (${dieAt}): decided ${decided}, and is ${state}`);
    if (count !== (decided === "commit" ? 1 : 0))
      wrong.push(`${mark} (${dieAt}): decided ${decided}, and is in the log ${count} times`);
    return wrong;
  });
}

async function messageCounts({ url, topic, queues }: Shop): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let queue = 0; queue < queues; queue++) {
    for (let offset = 0, end = false; !end; ) {
      const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&max=1000`;
      const { json } = await askJson<{
        messages: { readonly messageId: string }[];
        nextOffset: number;
      }>(url, "GET", path);
      for (const { messageId } of json.messages)
        counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
      end = json.messages.length === 0;
      offset = json.nextOffset;
    }
  }
  return counts;
}
