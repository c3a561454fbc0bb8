import { transactOperations } from "../src/api/transact-operations.ts";
import { serve } from "./serve.ts";

export const handler = serve("transact", transactOperations);
