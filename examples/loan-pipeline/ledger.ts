import { join } from "node:path";
import { open } from "lmdb";
import { databases } from "../settings.ts";
import type { Decision } from "./loans.ts";

/** The bank's own database: loans that were paid out, and how much that was. */
export class Ledger {
  readonly #database = open({
    path: join(databases, "ledger.mdb"),
    noSubdir: true,
    overlappingSync: false,
  });
  readonly #loans = this.#database.openDB<Decision, string>({ name: "loans" });
  readonly #totals = this.#database.openDB<number, string>({ name: "totals" });

  /** `false`: it was paid out before. */
  payOut(decision: Decision): boolean {
    return this.#database.transactionSync(() => {
      if (this.#loans.get(decision.loan) !== undefined) return false;
      this.#loans.putSync(decision.loan, decision);
      this.#totals.putSync("paid", this.paid + decision.amount);
      return true;
    });
  }

  get paid(): number {
    return this.#totals.get("paid") ?? 0;
  }

  loans(): Decision[] {
    return [...this.#loans.getRange()].map(({ value }) => value);
  }
}
