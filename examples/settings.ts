import { mkdirSync } from "node:fs";
import { seededRandom } from "../src/adapters/faulty/faults.ts";

const { env } = process;

/** What the larger examples are told by their environment. Times are short where a run is to take seconds. */
export const broker = env["TASSO_URL"] ?? "http://127.0.0.1:1290";
/** The folder of their local databases. */
export const databases = env["DATABASES"] ?? "examples/data";
mkdirSync(databases, { recursive: true });
/** How many orders, or loans. */
export const count = Number(env["COUNT"] ?? 20);
/** An order that is not paid in this time is cancelled (ms). */
export const paymentWindowMs = Number(env["PAYMENT_WINDOW_MS"] ?? 10_000);
/** A transaction that nobody ended is asked about after this time, and again as often (ms). */
export const checkMs = Number(env["CHECK_MS"] ?? 6_000);
/** What a consumer received and did not settle comes again after this time (ms). */
export const invisibleMs = Number(env["INVISIBLE_MS"] ?? 30_000);
/** So long a consumer waits at the broker for a message (ms). */
export const waitMs = Number(env["WAIT_MS"] ?? 5_000);
/** So long a call is tried while the broker is away (ms). */
export const timeoutMs = 60_000;
export const attemptTimeoutMs = 1_000;
/** From 0 to 1, the same sequence for the same `SEED`. */
export const random = seededRandom(Number(env["SEED"] ?? Date.now()));
