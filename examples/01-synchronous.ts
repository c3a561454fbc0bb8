import { Admin, Producer } from "tasso";

const brokers = [process.env["TASSO_URL"] ?? "http://127.0.0.1:1290"];
await new Admin({ brokers }).createTopic("bread", { queues: 4 });
const producer = new Producer({ brokers });

// Resolves when the message is on the disk; throws where it is not, or where nobody knows.
const receipt = await producer.send({ topic: "bread", tag: "rye", body: "two loaves" });
console.log("stored:", receipt);

await producer.close();
