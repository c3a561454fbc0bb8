/* The first hop: makes a file of each request. Runs until it is stopped. */
import { randomUUID } from "node:crypto";
import { pause } from "../pause.ts";
import { random } from "../settings.ts";
import { runHop } from "./hop.ts";
import { type Application, groups, type LoanRequest, topics } from "./loans.ts";

await runHop<LoanRequest, Application>({
  group: groups.applications,
  from: topics.requests,
  to: topics.applications,
  work: async (request) => {
    await pause(random() * 10);
    return { ...request, fileNumber: randomUUID() };
  },
});
