import { afterAll } from "vitest";
import { processTarget } from "../support/targets.ts";
import { runSmallExamples } from "./small-examples.cases.ts";

const target = await processTarget.start();
afterAll(() => target.stop());

runSmallExamples("the local server", () => target.url);
