import { isBrokerError } from "../../src/broker/errors.ts";
import { limits } from "../../src/broker/limits.ts";
import type { Auditor } from "./auditor.ts";
import type { Cluster } from "./cluster.ts";
import { producers } from "./transactions-seen.ts";

const minute = 60_000;
const hour = 60 * minute;
const passesMax = 1_000;

/**
 * Nobody ends anything any more: a webhook answers; or somebody asks for every check and answers none; or nobody is there
 * and days pass.
 * Then every half has to have ended.
 */
export async function transactionsEnd(
  cluster: Cluster,
  auditor: Auditor,
  { isAsked }: { readonly isAsked: boolean },
): Promise<void> {
  if (auditor.transactions.size === 0) return;
  const { world } = cluster.cell;
  // Those that nobody polls for are given up after 72 hours.
  const isSoon = isAsked || auditor.hasWebhook;
  for (let round = 0; round < (isSoon ? 18 : 75); round++) {
    await world.runTo(world.now + (isSoon ? minute / 2 + 1_000 : hour));
    if (isAsked) await askForAll(cluster, auditor);
    else await cluster.ask((broker, io) => broker.sweep(io));
  }
  for (const seen of auditor.transactions.values()) {
    try {
      const { state } = await cluster.ask((broker, io) => broker.transactions.look(io, seen.id));
      seen.final = state;
    } catch (error) {
      if (!isBrokerError(error) || error.code !== "transaction_not_found") throw error;
      // One that ended is forgotten some time after that; then what somebody was told is how it ended.
      seen.isForgotten = seen.endAskedAt + limits.transactionKeptMs < world.now;
      if (seen.isForgotten) seen.final = seen.told[0]?.state;
    }
  }
}

async function askForAll(cluster: Cluster, auditor: Auditor): Promise<void> {
  const { world } = cluster.cell;
  for (let pass = 0; pass < passesMax; pass++) {
    const askedAt = world.now;
    const taken = await cluster.ask((broker, io) =>
      broker.checks.take(io, producers, { max: 32, waitMs: 0, isOver: () => true }),
    );
    if (taken.length === 0) return;
    for (const { id, check } of taken) {
      const name = Buffer.from(id).toString("hex");
      const told = { by: "auditor", check, askedAt, toldAt: world.now };
      auditor.transactions.get(name)?.checks.push(told);
    }
  }
  throw new Error("who asks for checks is given some for ever");
}
