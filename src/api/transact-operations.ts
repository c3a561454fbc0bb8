import type { Operation } from "./operation.ts";
import {
  commitTransaction,
  lookAtTransaction,
  prepare,
  rollBackTransaction,
  takeChecks,
} from "./operations/transactions.ts";

/** What a producer of transactions may ask. Apart, because the function that serves them loads nothing else when it starts. */
export const transactOperations: readonly Operation[] = [
  prepare,
  commitTransaction,
  rollBackTransaction,
  lookAtTransaction,
  takeChecks,
];
