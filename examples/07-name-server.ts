import { Producer } from "tasso";

const nameServer = process.env["TASSO_NAME_SERVER"] ?? "http://127.0.0.1:9876";

// What the client asks by itself, and remembers for 30 s: it needs no address of a broker.
console.log(`shop -> name server at ${nameServer}: who holds "bread"?`);
const answer = await fetch(`${nameServer}/v1/routes/bread`);
const { brokers } = (await answer.json()) as { brokers: { name: string; endpoint: string }[] };
const holders = brokers.map(({ name, endpoint }) => `broker "${name}" at ${endpoint}`);
console.log(`name server -> shop: ${holders.join(", ")}`);

const producer = new Producer({ nameServers: [nameServer] });
const receipt = await producer.send({ topic: "bread", body: "two loaves" });
console.log(`shop -> broker "${receipt.broker}": store "two loaves"`);
console.log(`broker "${receipt.broker}" -> shop: stored as ${receipt.messageId}`);

await producer.close();
