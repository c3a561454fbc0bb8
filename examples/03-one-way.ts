import { Admin, Producer } from "tasso";

const brokers = [process.env["TASSO_URL"] ?? "http://127.0.0.1:1290"];
await new Admin({ brokers }).createTopic("oven-temperatures", { queues: 4 });
const producer = new Producer({ brokers });

// Sent once. Nobody hears whether it arrived.
producer.sendOneway({ topic: "oven-temperatures", body: "231" });
console.log("sent, and never asked for again");

await producer.close();
