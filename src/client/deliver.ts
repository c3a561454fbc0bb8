import { batchIdBytes } from "../broker/log/batch.ts";
import type { Connection } from "./connection.ts";
import type { OutgoingBatch } from "./outgoing-batch.ts";
import { aborted, withRetries } from "./retries.ts";
import { type Broker, preferred } from "./routes.ts";
import type { TassoError } from "./tasso-error.ts";

/** A queue of a broker that a batch goes to. */
export interface Target {
  readonly broker: Broker;
  readonly queue: number;
}

export interface DeliveryOptions {
  readonly topic: string;
  /** Where the batch is to go. Asked again as long as no attempt may have had effects, for another broker knows no id of this one. */
  readonly choose: () => Target | Promise<Target>;
  readonly timeoutMs: number;
  readonly compressOverBytes: number;
  /** Called instead of telling a failure where the batch's groups belong to another queue now. */
  readonly onMoved?: (() => void) | undefined;
}

/** One placing of a batch: everything that its attempts have in common, which is what lets it land once. */
interface Placement {
  readonly target: Target;
  readonly batchId: Uint8Array;
  readonly bytes: Uint8Array;
  attempts: number;
}

/** Sends a batch until it has landed or its time is over, and tells whom it concerns. Never rejects. */
export async function deliver(
  connection: Connection,
  batch: OutgoingBatch,
  { topic, choose, timeoutMs, compressOverBytes, onMoved }: DeliveryOptions,
): Promise<void> {
  const { settings } = connection;
  const { signal } = batch.options;
  const deadline = batch.options.deadline ?? settings.clock.now() + timeoutMs;
  let placement: Placement | undefined;
  let askedAgain = false;
  try {
    if (signal?.aborted) throw aborted(signal);
    await batch.compress(compressOverBytes);
    const landed = await connection.traced("send", { topic, messages: batch.count }, () =>
      withRetries(
        settings,
        {
          deadline,
          signal,
          idempotent: true,
          again({ code, outcomeUnknown }) {
            if (code === "clock_skew") return !outcomeUnknown;
            if (askedAgain || !["topic_not_found", "queue_not_found"].includes(code)) return false;
            connection.routes.forget(topic);
            askedAgain = true;
            return true;
          },
        },
        async (attempt) => {
          if (placement === undefined || !attempt.outcomeUnknown) placement = await place();
          placement.attempts++;
          const { target, batchId, bytes } = placement;
          const endpoint = connection.endpointOf(target.broker);
          const { offset } = await connection.call<{ offset: number }>(endpoint, {
            method: "POST",
            path: `/v1/topics/${topic}/messages?queue=${target.queue}&attempt=${placement.attempts}`,
            body: bytes,
            timeoutMs: attempt.timeoutMs,
            signal,
          });
          const { name: broker } = target.broker;
          return { topic, broker, queue: target.queue, offset, batchId };
        },
      ),
    );
    batch.landed(landed, placement?.attempts ?? 0);
  } catch (error) {
    const told = connection.asTassoError(error);
    if (onMoved !== undefined && isOfAnotherQueue(told)) onMoved();
    else batch.failed(told);
  }

  async function place(): Promise<Placement> {
    const target = await choose();
    const batchId = settings.random.bytes(batchIdBytes);
    const [endpoint] = preferred(target.broker.endpoints);
    const firstAttemptAt = endpoint?.brokerNow() ?? settings.clock.now();
    return { target, batchId, bytes: batch.encoded(batchId, firstAttemptAt), attempts: 0 };
  }
}

/** Queues were added: the broker's hash says otherwise than ours, and it refused the batch whole. */
function isOfAnotherQueue({ code, details, outcomeUnknown }: TassoError): boolean {
  const { field } = details;
  return (
    code === "invalid" &&
    !outcomeUnknown &&
    typeof field === "string" &&
    /^messages\[\d+\]\.messageGroup$/.test(field)
  );
}
