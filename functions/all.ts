import { operations } from "../src/api/operations.ts";
import { serve } from "./serve.ts";

export const handler = serve("all", operations);
