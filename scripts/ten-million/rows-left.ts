import { isIn } from "../../src/broker/log/segment.ts";
import {
  entryOf,
  lookAtStore,
  type StoredRows,
  type StoreLook,
  workDueAt,
} from "../audit/store-look.ts";

/** The rows of one look, by why they are there. */
export interface RowsLeft {
  /** Of segments that take appends. */
  readonly active: number;
  /** Of segments that were sealed a moment ago and wait to be archived. */
  readonly sealed: number;
  /** Of segments that were archived, and whose rows are kept for a while. */
  readonly kept: number;
  /** Of segments that should have been archived, those that should have gone, and those that nothing leads to. */
  readonly overdue: number;
}

/** `slackMs`: so late may be what is due. */
export function rowsLeft(look: StoreLook, slackMs: number): RowsLeft {
  const left = { active: 0, sealed: 0, kept: 0, overdue: 0 };
  for (const stored of look.rows) left[reasonOf(look, stored, slackMs)] += stored.rows;
  return left;
}

function reasonOf(look: StoreLook, stored: StoredRows, slackMs: number): keyof RowsLeft {
  const entry = entryOf(look, stored);
  if (entry !== undefined && isIn(entry, "open", "empty")) return "active";
  const isSealed = entry !== undefined && isIn(entry, "sealed");
  const due = workDueAt(look, isSealed ? "archive" : "drop-rows", stored);
  if (due === undefined || due + slackMs < look.at) return "overdue";
  return isSealed ? "sealed" : "kept";
}

const lookEveryMs = 1_000;

/** Looks at a store again and again and remembers the most of everything. */
export class RowsWatch {
  looks = 0;
  most = { rows: 0, active: 0, sealed: 0, kept: 0, overdue: 0, fileBytes: 0 };
  readonly #data: string;
  readonly #slackMs: number;
  #going = true;
  readonly #done: Promise<void>;

  constructor(data: string, slackMs: number) {
    this.#data = data;
    this.#slackMs = slackMs;
    this.#done = this.#run();
  }

  /** Looks once more. */
  async stop(): Promise<void> {
    this.#going = false;
    await this.#done;
    await this.#look();
  }

  async #run(): Promise<void> {
    while (this.#going) {
      await this.#look();
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  }

  async #look(): Promise<void> {
    const look = await lookAtStore(this.#data);
    const left = rowsLeft(look, this.#slackMs);
    const rows = left.active + left.sealed + left.kept + left.overdue;
    const now = { ...left, rows, fileBytes: look.fileBytes };
    for (const name of Object.keys(now) as (keyof typeof now)[])
      this.most[name] = Math.max(this.most[name], now[name]);
    this.looks++;
  }
}
