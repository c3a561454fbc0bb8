/*
 * A producer in a process of its own, for audits of its speed and memory: told by messages what to send, it tells how it
 * went. Bundled, so that nothing but the client is in its memory.
 */
import { Producer } from "../../src/client/index.ts";

export interface SendOrder {
  readonly from: number;
  readonly to: number;
}

export interface SendReport {
  readonly seconds: number;
  readonly told: number;
  readonly failures: readonly string[];
  /** How often it was told to wait. */
  readonly pushedBack: number;
}

export const bodyBytes = 100;

const [url = "", topic = "", bufferBytes = ""] = process.argv.slice(2);
const producer = new Producer({
  brokers: [url],
  bufferBytes: Number(bufferBytes),
  lingerMs: 5,
  timeoutMs: 60_000,
});

async function send({ from, to }: SendOrder): Promise<SendReport> {
  const startedAt = performance.now();
  const failures: string[] = [];
  let told = 0;
  let pushedBack = 0;
  const hear = (error: Error | undefined) => {
    if (error === undefined) told++;
    else if (failures.length < 10) failures.push(error.message);
  };
  for (let number = from; number < to; number++) {
    const body = `{"number":${number},"note":"from Innsbruck to Mechelen"}`.padEnd(bodyBytes);
    if (producer.sendAsync({ topic, body }, hear)) continue;
    pushedBack++;
    await producer.ready();
  }
  await producer.flush();
  return { seconds: (performance.now() - startedAt) / 1_000, told, failures, pushedBack };
}

process.on("message", (order: SendOrder) => {
  void send(order).then((report) => process.send?.(report));
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
