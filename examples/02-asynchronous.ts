import { Admin, Producer } from "tasso";

const brokers = [process.env["TASSO_URL"] ?? "http://127.0.0.1:1290"];
await new Admin({ brokers }).createTopic("bread", { queues: 4 });
const producer = new Producer({ brokers });

for (const body of ["one loaf", "two loaves", "three loaves"]) {
  // Goes out soon, together with others. `false` means that enough wait already.
  const hasRoom = producer.sendAsync({ topic: "bread", body }, (error, receipt) => {
    if (error === undefined) console.log(`${body}: stored as ${receipt?.messageId}`);
    else console.log(`${body}: ${error.code}, may be stored: ${error.outcomeUnknown}`);
  });
  if (!hasRoom) await producer.ready();
}
console.log("all are on their way");

await producer.close();
