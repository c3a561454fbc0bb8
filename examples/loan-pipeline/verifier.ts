/* The second hop: verifies an application and decides, by chance. Runs until it is stopped. */
import { randomInt, randomUUID } from "node:crypto";
import { pause } from "../pause.ts";
import { random } from "../settings.ts";
import { runHop } from "./hop.ts";
import { type Application, type Decision, groups, topics } from "./loans.ts";

await runHop<Application, Decision>({
  group: groups.verification,
  from: topics.applications,
  to: topics.decisions,
  work: async (application) => {
    await pause(random() * 10);
    return { ...application, decisionNumber: randomUUID(), approved: randomInt(10) < 6 };
  },
});
