import { utf8 } from "../broker/bytes.ts";
import { fromBase64 } from "./message.ts";

/** A message as the API tells it. */
export interface ToldMessage {
  readonly topic: string;
  readonly queue: number;
  readonly offset?: number;
  readonly messageId: string;
  readonly body: string;
  readonly bodyEncoding: "utf8" | "base64";
  readonly tag?: string;
  readonly keys?: readonly string[];
  readonly properties?: Readonly<Record<string, string>>;
  readonly messageGroup?: string;
  readonly bornAt: number;
  readonly storedAt?: number;
  readonly receiptHandle?: string;
  readonly deliveryAttempt?: number;
  readonly invisibleUntil?: number;
}

/** A message that was stored. */
export class ReceivedMessage {
  readonly topic: string;
  readonly queue: number;
  readonly offset: number;
  readonly messageId: string;
  readonly body: Uint8Array;
  readonly tag: string | undefined;
  readonly keys: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
  readonly messageGroup: string | undefined;
  /** By the producer's clock (ms). */
  readonly bornAt: number;
  /** By the broker's clock (ms). */
  readonly storedAt: number;
  /** The broker it is from, by its name in the route. */
  readonly broker: string;

  constructor(told: ToldMessage, broker = "") {
    const { body, bodyEncoding } = told;
    this.topic = told.topic;
    this.queue = told.queue;
    this.offset = told.offset ?? 0;
    this.messageId = told.messageId;
    this.body = bodyEncoding === "base64" ? fromBase64(body) : utf8(body);
    this.tag = told.tag;
    this.keys = told.keys ?? [];
    this.properties = told.properties ?? {};
    this.messageGroup = told.messageGroup;
    this.bornAt = told.bornAt;
    this.storedAt = told.storedAt ?? 0;
    this.broker = broker;
  }

  /** The body as text. */
  text(): string {
    return decoder.decode(this.body);
  }

  /** The body as JSON. Throws `SyntaxError` where it is none. */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}

/** A message that was given to this consumer: nobody else of the group sees it until `invisibleUntil`. */
export class DeliveredMessage extends ReceivedMessage {
  readonly receiptHandle: string;
  /** 1 for the first time that it is given to anybody of the group. */
  readonly deliveryAttempt: number;
  /** By the broker's clock (ms), when it was given; extending moves it on. */
  readonly invisibleUntil: number;

  constructor(told: ToldMessage, broker: string) {
    super(told, broker);
    this.receiptHandle = told.receiptHandle ?? "";
    this.deliveryAttempt = told.deliveryAttempt ?? 1;
    this.invisibleUntil = told.invisibleUntil ?? 0;
  }
}

export function readMessage(told: ToldMessage, broker?: string): ReceivedMessage {
  return new ReceivedMessage(told, broker);
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
