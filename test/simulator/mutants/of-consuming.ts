import type { Mutant } from "./mutant.ts";

const consuming = (file: string) => `src/broker/consuming/${file}.ts`;
const mutant = (name: string, file: string, find: string, replace: string): Mutant => ({
  name: `consuming: ${name}`,
  patches: [{ file: consuming(file), find, replace }],
});

/** Bugs of those who give messages out, settle them, and share queues. */
export const mutantsOfConsuming: readonly Mutant[] = [
  mutant(
    "what is invisible is given out",
    "give-out",
    "      if (delivery !== undefined && delivery.until > this.#now) {",
    "      if (delivery !== undefined && delivery.until > this.#now + 5_000) {",
  ),
  mutant(
    "a handle is good for whatever delivery there is",
    "settle-state",
    'return delivery.stamp === stamp ? { is: "open", delivery, message } : { is: "stale" };',
    'return { is: "open", delivery, message };',
  ),
  mutant(
    "the state of a queue is put without looking who was faster",
    "queue-states",
    'const put: Write = { kind: "put", key, value: made.value, version, expect };',
    'void expect;\n      const put: Write = { kind: "put", key, value: made.value, version };',
  ),
  mutant(
    "what is remembered of a state is believed",
    "queue-states",
    "        if (!isFresh) {",
    "        if (before === null) {",
  ),
  mutant(
    "what is given back is dead one attempt early",
    "settle-receipts",
    "else if (attempt >= group.maxAttempts)",
    "else if (attempt + 1 >= group.maxAttempts)",
  ),
  mutant(
    "what expires is given out once more than the maximum",
    "give-out",
    "attempt > this.#subscription.group.maxAttempts",
    "attempt > this.#subscription.group.maxAttempts + 1",
  ),
  mutant(
    "what leaves the state does not wait anywhere",
    "leaving",
    "  draft.along.push({ ...timers.along(io, due), afterwards: () => timers.see(io, due) });",
    "  void draft;",
  ),
  mutant(
    "a message group is in many hands",
    "give-out",
    "const hash = orderly ? hashOf(message.message) : 0;",
    "const hash = 0;\n        void orderly;",
  ),
  mutant(
    "what is held back is forgotten",
    "give-out",
    "            state.heldBack = [...state.heldBack, { offset, hash }];",
    "            void hash;",
  ),
  mutant(
    "one acknowledgement settles all that was given out with it",
    "settle-state",
    "  takeOut(state, delivery, message);\n  const { offset } = message;\n  if (delivery.attempt > 1)",
    "  for (const each of delivery.messages) takeOut(state, delivery, each);\n  const { offset } = message;\n  if (delivery.attempt > 1)",
  ),
  mutant(
    "members of any generation commit",
    "settle-state",
    "  if (generation < state.generation) return false;\n  return state.owner === 0 || state.owner === ownerHash(clientId);",
    "  void generation;\n  return state.owner !== 0 || clientId !== undefined;",
  ),
  mutant(
    "a queue is not claimed for its new owner",
    "settle-state",
    "  if (generation <= state.generation) return;",
    "  if (generation <= state.generation || state.generation > 0) return;",
  ),
  mutant(
    "members share queues without looking who was faster",
    "members",
    '        expect: item === undefined ? "absent" : { version: item.version },\n      };\n      const until',
    "      };\n      const until",
  ),
];
