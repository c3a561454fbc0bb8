import type { SendingBroker } from "../broker/sending-broker.ts";
import type { Operation } from "./operation.ts";
import { recall } from "./operations/delayed.ts";
import { send, sendBatch } from "./operations/send.ts";

/** What a sender may ask. Apart, because a function that serves senders loads nothing else when it starts. */
export const sendOperations: readonly Operation<SendingBroker>[] = [send, sendBatch, recall];
