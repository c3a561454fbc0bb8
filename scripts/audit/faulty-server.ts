import type { Patch } from "./server-process.ts";

const main = "src/local/main.ts";
const appender = "src/broker/log/queue-appender.ts";

/**
 * A server whose store now and then refuses a commit, loses its answer or takes its time: patches that put FaultyStore
 * around it. Reads are left alone, so that it can be audited.
 */
export function faultyStore(seed: number): readonly Patch[] {
  const open = "const store = await LmdbStore.open({ path: folder.store, clock });";
  const rates = "{ refuse: 0.3, failBefore: 0.05, failAfter: 0.1, delay: 0.3, delayMsMax: 60 }";
  return [
    {
      file: main,
      find: 'import { LmdbStore } from "../adapters/local/lmdb-store.ts";',
      replace: `import { LmdbStore } from "../adapters/local/lmdb-store.ts";
        import { FaultyStore } from "../adapters/faulty/faulty-store.ts";
        import { randomFaults } from "../adapters/faulty/faults.ts";`,
    },
    {
      file: main,
      find: open,
      replace: `const lmdb = await LmdbStore.open({ path: folder.store, clock });
        const draw = randomFaults({ random: ${seed}, rates: ${rates} });
        const plan = (call) => call.method === "commit" ? draw(call) : "none";
        const store = new FaultyStore(lmdb, { clock, plan });`,
    },
    { file: main, find: "new ExpirySweep({ store,", replace: "new ExpirySweep({ store: lmdb," },
    { file: main, find: "await store.close();", replace: "await lmdb.close();" },
  ];
}

/** The known bug: members of a group are answered before their commit is made. */
export const acknowledgeBeforeWrite: readonly Patch[] = [
  {
    file: appender,
    find: "const result = await commitUntilDecided(io, writes, deadlineOf(chain, segment));",
    replace: `this.#landed(io, chain, group.members, { storedAt, issuedAt, rows: puts.length, bytes });
      const result = await commitUntilDecided(io, writes, deadlineOf(chain, segment));`,
  },
  {
    file: appender,
    find: `if (result.outcome === "applied") {
        this.#landed(io, chain, group.members, { storedAt, issuedAt, rows: puts.length, bytes });`,
    replace: 'if (result.outcome === "applied") {',
  },
];
