import { describe, expect, it } from "vitest";
import type { Fault } from "../../src/adapters/faulty/faults.ts";
import { commitUntilDecided } from "../../src/broker/decided-commit.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { Write } from "../../src/broker/ports/store.ts";
import { behindFaults, memoryPorts } from "../support/memory-ports.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const key = { partition: Uint8Array.of(1), sort: Uint8Array.of(1) };
const put: Write = { kind: "put", key, value: Uint8Array.of(1), version: "v", expect: "absent" };

describe("a commit whose reply may be lost", () => {
  it.each([
    ["applied", ["fail-after"]],
    ["applied", ["fail-before"]],
    ["applied", ["refuse", "refuse"]],
    ["applied", ["fail-after", "refuse", "refuse", "refuse", "refuse"]],
    ["applied", ["duplicate"]],
  ] as const)("is repeated until it is known to be %s, after %j", async (outcome, faults) => {
    const { io, plain } = facing([...faults], "none");
    const result = await commitUntilDecided(io, [put], io.clock.now() + 60_000);
    expect(result.outcome).toBe(outcome);
    expect((await plain.store.get([key]))[0]?.version).toBe("v");
  });

  it("is in doubt, not surely undone, when nothing more is heard after a reply was lost", async () => {
    for (const first of ["fail-before", "fail-after"] as const) {
      const { io } = facing([first], "refuse");
      const until = io.clock.now() + 60_000;
      await expect(commitUntilDecided(io, [put], until)).rejects.toMatchObject({
        code: "outcome_unknown",
      });
      expect(io.clock.now()).toBeGreaterThan(until);
    }
  });

  it("is surely undone when every try was refused, and is not tried for long", async () => {
    const { io } = facing([], "refuse");
    const began = io.clock.now();
    await expect(commitUntilDecided(io, [put], began + 60_000)).rejects.toBeInstanceOf(Unavailable);
    expect(io.clock.now() - began).toBeLessThan(1_000);
  });
});

/** Ports whose store meets these faults, one a call, and then always the last. */
function facing(faults: Fault[], then: Fault) {
  const plain = memoryPorts(new VirtualClock());
  return { plain, io: behindFaults(plain, () => faults.shift() ?? then, 1) };
}
