import { join } from "node:path";
import { open } from "lmdb";
import { databases, paymentWindowMs } from "../settings.ts";

export interface Order {
  readonly id: string;
  /** `refused`: the shop died before it took the order, and the broker was told that there is none. */
  readonly state: "open" | "paid" | "cancelled" | "refused";
  /** When it was taken, and when it was paid or cancelled. */
  readonly takenAt: number;
  readonly endedAt?: number;
}

const initialStock = 1_000;

/**
 * The shop's own database, which shop and canceller share: orders, and how many pieces are in stock. Each change is one
 * transaction, and survives whatever happens to the process from the moment on at which its method returns.
 */
export class Orders {
  readonly #database = open({
    path: join(databases, "orders.mdb"),
    noSubdir: true,
    overlappingSync: false,
  });
  readonly #orders = this.#database.openDB<Order, string>({ name: "orders" });
  readonly #stock = this.#database.openDB<number, string>({ name: "stock" });

  /** Takes a piece from the stock for a new order. `false`: it was refused before. */
  take(id: string): boolean {
    return this.#database.transactionSync(() => {
      if (this.#orders.get(id) !== undefined) return false;
      this.#orders.putSync(id, { id, state: "open", takenAt: Date.now() });
      this.#restock(-1);
      return true;
    });
  }

  /** Whether there is such an order. From the answer "no" on there never will be: who asks acts on it. */
  isTaken(id: string): boolean {
    return this.#database.transactionSync(() => {
      const order = this.#orders.get(id);
      if (order === undefined)
        this.#orders.putSync(id, { id, state: "refused", takenAt: Date.now() });
      return order !== undefined && order.state !== "refused";
    });
  }

  /** `false`: it is not open any more. */
  pay(id: string): boolean {
    return this.#database.transactionSync(() => this.#end(id, "paid"));
  }

  /** Gives the piece back into the stock. `false`: it was paid, or cancelled before. */
  cancel(id: string): boolean {
    return this.#database.transactionSync(() => {
      if (!this.#end(id, "cancelled")) return false;
      this.#restock(1);
      return true;
    });
  }

  all(): Order[] {
    return [...this.#orders.getRange()].map(({ value }) => value);
  }

  /** What of the ledger does not agree with itself. */
  wrong(): string[] {
    const orders = this.all().filter(({ state }) => state !== "refused");
    const out = orders.filter(({ state }) => state !== "cancelled").length;
    const stock = this.#stock.get("pieces") ?? initialStock;
    return [
      ...orders.filter(({ state }) => state === "open").map(({ id }) => `${id} is still open`),
      ...orders
        .filter(({ state, takenAt, endedAt = 0 }) => {
          return state === "cancelled" && endedAt < takenAt + paymentWindowMs;
        })
        .map(({ id }) => `${id} was cancelled before its time to pay was over`),
      ...(stock + out === initialStock
        ? []
        : [`${out} pieces are sold and ${stock} in stock, of ${initialStock}`]),
    ];
  }

  #end(id: string, state: "paid" | "cancelled"): boolean {
    const order = this.#orders.get(id);
    if (order?.state !== "open") return false;
    this.#orders.putSync(id, { ...order, state, endedAt: Date.now() });
    return true;
  }

  #restock(pieces: number): void {
    this.#stock.putSync("pieces", (this.#stock.get("pieces") ?? initialStock) + pieces);
  }
}
