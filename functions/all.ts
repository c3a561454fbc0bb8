import { operations } from "../src/api/operations.ts";
import { RequestBroker } from "../src/broker/request-broker.ts";
import { serve } from "./serve.ts";
import { webhooksOf } from "./webhooks.ts";

export const handler = serve("all", operations, RequestBroker, webhooksOf);
