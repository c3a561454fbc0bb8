import { transactOperations } from "../src/api/transact-operations.ts";
import { RequestBroker } from "../src/broker/request-broker.ts";
import { serve } from "./serve.ts";

export const handler = serve("transact", transactOperations, RequestBroker);
