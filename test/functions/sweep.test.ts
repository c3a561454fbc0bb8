import { describe, expect, it } from "vitest";
import { sweepOnce } from "../../functions/sweep.ts";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { limits } from "../../src/broker/limits.ts";
import { memoryPorts } from "../support/memory-ports.ts";

describe("a sweep", () => {
  it("says whether work that is due is left", async () => {
    const clock = new ManualClock();
    const ports = memoryPorts(clock);
    const broker = new Broker(ports);
    expect(await sweepOnce(broker, ports)).toBe(false);
    // More directory entries than a sweep has steps.
    for (const name of ["a", "b"]) {
      await broker.topics.ensure(ports, name, { queues: limits.queuesPerTopicMax });
      await broker.deleteTopic(ports, name, { force: true });
    }
    expect(await sweepOnce(broker, ports)).toBe(false);
    await clock.advance(limits.topicAgeMsMax + 2 * limits.appendDeadlineMs);
    expect(await sweepOnce(broker, ports)).toBe(true);
    expect(await sweepOnce(broker, ports)).toBe(false);
  });
});
