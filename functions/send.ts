import { sendOperations } from "../src/api/send-operations.ts";
import { serve } from "./serve.ts";

export const handler = serve("send", sendOperations);
