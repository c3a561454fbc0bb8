import { lmdbTarget, memoryTarget } from "../support/targets.ts";
import { runApiSuite } from "./api.suite.ts";

runApiSuite(memoryTarget);
runApiSuite(lmdbTarget);
