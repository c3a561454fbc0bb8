import { expect, test } from "vitest";
import { newBatch, segmentedWorld } from "../support/segmented-world.ts";

const minute = 60_000;

/**
 * Found by the simulator (seed 4 of 2,000 steps): a segment was sealed so late that its rows expired before it was to be
 * trimmed. In between, up to an hour long, nobody could read its queue from the beginning, and no sweep mended that.
 */
test("a queue whose segment was sealed late is readable again when its rows have expired", async () => {
  const settings = { segmentAgeMs: 10 * minute, archiveBytesMin: 4_000 };
  const { io, clock, queue, newBroker, topic } = await segmentedWorld({
    settings,
    retentionMs: minute,
  });
  const { log } = newBroker();
  await log.append(io, queue, newBatch(), topic);
  // Nobody sweeps for a while after the time at which it should have been sealed.
  clock.pass(50 * minute);
  await newBroker().sweep(io);
  // Its rows expire 80 minutes after it was opened.
  for (let passed = 50; passed < 150; passed += 5) {
    clock.pass(5 * minute);
    await newBroker().sweep(io);
    const { max } = await newBroker().log.range(io, queue);
    expect(max).toBe(1);
  }
  expect(await newBroker().log.range(io, queue)).toEqual({ min: 1, max: 1 });
});
