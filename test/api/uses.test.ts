import { describe, expect, it } from "vitest";
import { sweepUses } from "../../functions/rights.ts";
import { SystemClock } from "../../src/adapters/local/system-clock.ts";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import type { Ability, Operation } from "../../src/api/operation.ts";
import { operations } from "../../src/api/operations.ts";
import { Broker } from "../../src/broker/broker.ts";
import { memoryPorts } from "../support/memory-ports.ts";
import { permittedPorts } from "../support/permitted-ports.ts";
import { serve, type Target } from "../support/targets.ts";
import { runApiSuite } from "./api.suite.ts";

/** Operations have the permissions that their `uses` gives them: here they may use nothing else, and have to use it all. */
const seen = new Map<string, Set<Ability>>();

const restrictedTarget: Target = {
  name: "the server whose operations may do what they say",
  start: () => serve(memoryPorts(new SystemClock()), operations.map(restricted)),
};

function restricted(operation: Operation): Operation {
  const used = new Set<Ability>();
  seen.set(operation.name, used);
  return {
    ...operation,
    run: ({ broker, io }, input) =>
      operation.run(
        { broker, io: permittedPorts(io, operation.uses, (ability) => used.add(ability)) },
        input,
      ),
  };
}

runApiSuite(restrictedTarget);

describe("what an operation says that it uses", () => {
  it.each(operations)("is used by $name while the API suite runs", ({ name, uses }) => {
    expect([...(seen.get(name) ?? [])].sort()).toEqual([...uses].sort());
  });
});

describe("what the sweep says that it uses", () => {
  it("is what it uses", async () => {
    const clock = new ManualClock();
    const ports = memoryPorts(clock);
    const broker = new Broker(ports);
    await broker.topics.ensure(ports, "orders", { queues: 1 });
    await broker.deleteTopic(ports, "orders", { force: true });
    const used = new Set<Ability>();
    const io = permittedPorts(ports, sweepUses, (ability) => used.add(ability));
    await broker.sweep(io);
    await clock.advance(600_000);
    await broker.sweep(io);
    expect([...used].sort()).toEqual([...sweepUses].sort());
  });
});
