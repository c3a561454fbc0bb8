import type { Mutant } from "./mutant.ts";

const transactions = "src/broker/transactions/transactions.ts";
const transaction = "src/broker/transactions/transaction.ts";
const checks = "src/broker/transactions/checks.ts";
const checkBack = "src/broker/transactions/check-back-work.ts";
const webhookChecks = "src/broker/transactions/webhook-checks.ts";
const checkWork = "src/broker/transactions/check-work.ts";

const appended = "          return [turned(io, item, committed), check];";

/** Bugs of transactions: what becomes visible when, how often, and what becomes of a half that nobody ends. */
export const mutantsOfTransactions: readonly Mutant[] = [
  {
    name: "a transaction that is committed and left open",
    patches: [
      {
        file: transactions,
        find: appended,
        replace:
          '          return [{ kind: "check", key: item.key, expect: { version: item.version } }, check];',
      },
    ],
  },
  {
    name: "a transaction that is turned whatever became of it",
    patches: [
      {
        file: transaction,
        find: "  const expect = { version: item.version };",
        replace: "  const expect = undefined as never;",
      },
    ],
  },
  {
    name: "a transaction that is turned before its message lands",
    patches: [
      {
        file: transactions,
        find: "    await this.#log.append(io, { topicId, queue }, batch, {",
        replace: `    const early: Transaction = { ...transaction, state: "COMMITTED", endedAt: now, offset: 0 };
    const early1 = await commitUntilDecided(io, [turned(io, item, early), check], now + limits.appendDeadlineMs);
    if (early1.outcome === "refused") throw new Superseded([]);
    if (queue >= 0) {
      const { base } = await this.#log.append(io, { topicId, queue }, batch, topic);
      return { ...early, offset: base };
    }
    await this.#log.append(io, { topicId, queue }, batch, {`,
      },
    ],
  },
  {
    name: "a half that is visible at once",
    patches: [
      {
        file: transactions,
        find: "      if (work.length > 0) await wakeIfAsked(",
        replace: `      const { topicId, queue } = draft.transaction;
      await this.#log.append(io, { topicId, queue }, batch);
      if (work.length > 0) await wakeIfAsked(`,
      },
    ],
  },
  {
    name: "a half that is prepared over what became of it",
    patches: [
      {
        file: transaction,
        find: '  return { kind: "put", key, value, version: newVersion(io.random), expect: "absent" };',
        replace: '  return { kind: "put", key, value, version: newVersion(io.random) };',
      },
    ],
  },
  {
    name: "a commit of what was rolled back",
    patches: [
      {
        file: transactions,
        find: 'if (transaction.state === "COMMITTED") return transaction;\n      if (transaction.state !== "PREPARED") throw ended(id, transaction);',
        replace:
          'if (transaction.state === "COMMITTED") return transaction;\n      if (transaction.state === "DISCARDED") throw ended(id, transaction);',
      },
      // What is rolled back keeps its message.
      {
        file: transaction,
        find: '(state === "PREPARED" || state === "DISCARDED")',
        replace: '(state !== "COMMITTED")',
      },
    ],
  },
  {
    name: "a rollback that answers before it is stored",
    patches: [
      {
        file: transactions,
        find: "      const { outcome } = await commitUntilDecided(io, writes, endedAt + limits.appendDeadlineMs);",
        replace: `      void io.clock.sleep(200).then(() => io.store.commit(writes, endedAt + 60_000)).catch(() => {});
      const outcome = "applied" as string;`,
      },
    ],
  },
  {
    name: "a check that several are given",
    patches: [
      {
        file: checks,
        find: '    [{ kind: "delete", key: entry.key, expect: { version: entry.version } }, put],',
        replace: '    [{ kind: "delete", key: entry.key }, put],',
      },
    ],
  },
  {
    name: "a check that is not counted",
    patches: [
      {
        file: checks,
        find: "  const left = isCounted ? { ...check, checks } : check;",
        replace: "  const left = isCounted ? check : check;",
      },
    ],
  },
  {
    name: "a check that is given out again too soon",
    patches: [
      {
        file: checks,
        find: "  const next = { producerGroup, dueAt: now + checkEveryMs, id };",
        replace: "  const next = { producerGroup, dueAt: now + checkEveryMs / 10, id };",
      },
    ],
  },
  {
    name: "a half that is asked about once too often",
    patches: [
      {
        file: checks,
        find: "  return checks >= checksMax || io.clock.now() - preparedAt > limits.halfOpenMsMax;",
        replace:
          "  return checks > checksMax || io.clock.now() - preparedAt > limits.halfOpenMsMax;",
      },
    ],
  },
  {
    name: "halves that nobody looks after",
    patches: [
      {
        file: checkWork,
        find: '    return [putWork(io, { dueAt, work: { kind: "check-back", producerGroup } })];',
        replace:
          '    return dueAt > 0 ? [] : [putWork(io, { dueAt, work: { kind: "check-back", producerGroup } })];',
      },
    ],
  },
  {
    name: "halves that are looked after once",
    patches: [
      {
        file: checkBack,
        find: "  if (!isOpen && discarded === 0) return { writes: [] };",
        replace: "  if (isOpen || discarded >= 0) return { writes: [] };",
      },
    ],
  },
  {
    name: "an answer of a webhook that is no outcome and rolls back",
    patches: [
      {
        file: webhookChecks,
        find: '  if (status < 200 || status > 299 || body === undefined) return "unknown";',
        replace: '  if (status < 200 || status > 299 || body === undefined) return "rollback";',
      },
    ],
  },
  {
    name: "an answer of a webhook that is taken for a commit, whatever it says",
    patches: [
      {
        file: webhookChecks,
        find: '    return outcome === "commit" || outcome === "rollback" ? outcome : "unknown";',
        replace:
          '    return outcome === "commit" || outcome === "rollback" ? "commit" : "unknown";',
      },
    ],
  },
];
