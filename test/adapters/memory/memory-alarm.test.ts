import type { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { MemoryAlarm } from "../../../src/adapters/memory/memory-alarm.ts";
import type { AlarmId } from "../../../src/broker/ports/alarm.ts";
import { type AlarmUnderTest, runAlarmContract } from "../../contract/alarm.contract.ts";

runAlarmContract({
  create: async (clock, ring) => underTest(clock, ring),
  skip: [
    {
      reason: "its alarms are in the memory of one process",
      cases: ["law 1: it rings also when the process that set it is gone"],
    },
  ],
});

function underTest(clock: ManualClock, ring: (id: AlarmId) => Promise<void>): AlarmUnderTest {
  let alive = true;
  const alarm = new MemoryAlarm({ clock, ring: async (id) => (alive ? ring(id) : undefined) });
  return {
    alarm,
    async replace() {
      alive = false;
      return underTest(clock, ring);
    },
  };
}
