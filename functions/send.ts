import { sendOperations } from "../src/api/send-operations.ts";
import { SendingBroker } from "../src/broker/sending-broker.ts";
import { serve } from "./serve.ts";

export const handler = serve("send", sendOperations, SendingBroker);
