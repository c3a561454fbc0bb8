// What a timer of Node alone does: sets one for each instant that comes in as JSON, and tells how late each rang (ms).
import { json } from "node:stream/consumers";

const instants = await json(process.stdin);
const lateness = [];
for (const at of instants) {
  setTimeout(() => {
    lateness.push(Date.now() - at);
    if (lateness.length === instants.length) process.stdout.write(JSON.stringify(lateness));
  }, at - Date.now());
}
