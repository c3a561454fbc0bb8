import { Admin } from "tasso";
import { broker, timeoutMs } from "../settings.ts";

/** Each hop has a topic that it receives from, and a consumer group of its own. */
export const topics = {
  requests: "loan-requests",
  applications: "loan-applications",
  decisions: "loan-decisions",
} as const;
export const groups = {
  applications: "application-desk",
  verification: "verification",
  bank: "bank",
} as const;

export interface LoanRequest {
  readonly loan: string;
  readonly amount: number;
}

export interface Application extends LoanRequest {
  /** Drawn when the desk looks at the request: a second look would give it another one. */
  readonly fileNumber: string;
}

export interface Decision extends Application {
  /** Drawn, too: the second decision on a loan would differ from the first. */
  readonly decisionNumber: string;
  readonly approved: boolean;
}

export const admin = new Admin({ brokers: [broker], timeoutMs });

/** Again is fine. */
export async function makeTopics(): Promise<void> {
  for (const topic of Object.values(topics)) await admin.createTopic(topic, { queues: 2 });
  for (const group of Object.values(groups)) await admin.createGroup(group);
}
