import { isBrokerError } from "../../src/broker/errors.ts";
import { refusalOf } from "./actors/recaller.ts";
import type { Auditor } from "./auditor.ts";
import type { Cluster } from "./cluster.ts";
import type { DelayedMessage, RecallAnswer } from "./delayed-message.ts";
import { readLog } from "./read-log.ts";
import type { Scenario } from "./scenario.ts";

/** Clocks, and a walker that comes a moment too soon. */
const afterTheLastMs = 2_000;

/** Lets time pass until all that waits is due, sweeps, and asks what became of it: the log, the list, and who recalls. */
export async function afterAllIsDue(
  cluster: Cluster,
  auditor: Auditor,
  scenario: Scenario,
): Promise<void> {
  const { world } = cluster.cell;
  const delayed = [...auditor.delayed.values()];
  if (delayed.length === 0) return;
  const lastDueAt = Math.max(
    ...delayed.flatMap(({ dueAt, names }) => [dueAt, ...names.map((name) => name.dueAt)]),
  );
  world.skip(Math.max(0, lastDueAt + afterTheLastMs - world.now));
  await cluster.ask((broker, io) => broker.sweep(io));
  auditor.later.push(...(await readLog(cluster, scenario)));
  const { waiting } = await cluster.ask((broker, io) =>
    broker.timers.list(io, { limit: 1_000_000 }),
  );
  auditor.stillWaiting.push(...waiting.map(({ messageId }) => messageId));
  for (const message of delayed) message.atEnd = await recalledAtEnd(cluster, message);
  auditor.laterAt = world.now;
}

async function recalledAtEnd(
  cluster: Cluster,
  { names: [name] }: DelayedMessage,
): Promise<RecallAnswer> {
  if (name === undefined) return { outcome: "unknown" };
  try {
    await cluster.ask((broker, io) => broker.timers.recall(io, name));
    return { outcome: "recalled" };
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    return refusalOf(error);
  }
}
