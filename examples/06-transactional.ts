import { Admin, Producer } from "tasso";

const brokers = [process.env["TASSO_URL"] ?? "http://127.0.0.1:1290"];
await new Admin({ brokers }).createTopic("orders", { queues: 4 });
const database = new Map<string, string>(); // Stands in for yours, which must outlive this process.
const producer = new Producer({
  brokers,
  group: "shop",
  // Asked, in any process of the group, what became of a transaction that nobody ended.
  checker: ({ message }) => (database.has(message.text()) ? "commit" : "rollback"),
});

// Stored, invisible to everybody, until the local work says what becomes of it.
for (const id of ["order-1", "order-2"]) {
  const sent = await producer.sendInTransaction({ topic: "orders", body: id }, async () => {
    if (id === "order-2") return "rollback"; // Its customer changed her mind.
    database.set(id, "two loaves");
    return "commit";
  });
  console.log(`${id}: ${sent.state}`);
}

await producer.close();
