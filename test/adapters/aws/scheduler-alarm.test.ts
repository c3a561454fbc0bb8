import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isWaking, nearMs, scheduleName, wakeAt } from "../../../src/adapters/aws/wakings.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { type AlarmId, isAlarmId } from "../../../src/broker/ports/alarm.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { schedulerError } from "./stub/scheduler-stub.ts";
import { names, StubbedAlarm } from "./stub/stubbed-alarm.ts";

const minuteMs = 60_000;

describe("SchedulerAlarm", () => {
  let clock: ManualClock;
  let stubbed: StubbedAlarm;
  let rings: { id: AlarmId; at: number }[];
  let failures: number;

  beforeEach(async () => {
    clock = new ManualClock();
    rings = [];
    failures = 0;
    stubbed = await StubbedAlarm.start(clock, async (id) => {
      rings.push({ id, at: clock.now() });
      if (failures-- > 0) throw new Error("the handler failed");
    });
  });
  afterEach(() => stubbed.stop());

  const requests = () => stubbed.stub.requests;
  const calls = () => stubbed.stub.lambda.events.length;

  it("calls the function at once for an instant that is near or past", async () => {
    await stubbed.alarm.set("near", clock.now() + nearMs - 1);
    await stubbed.alarm.set("past", clock.now() - 1);
    expect(requests()).toEqual(["Invoke", "Invoke"]);
    expect(stubbed.stub.lambda.events[0]).toEqual({
      functionArn: names.onAlarmArn,
      event: { alarm: "near" },
    });
  });

  it("makes a schedule for one that is far: on a full minute, deleted when it has fired", async () => {
    const at = Date.parse("2030-01-02T03:04:05.678Z");
    await stubbed.alarm.set("sweep", at);
    expect([...stubbed.stub.scheduler.schedules.values()]).toEqual([
      {
        Name: "sweep-31559223",
        GroupName: names.scheduleGroup,
        ScheduleExpression: "at(2030-01-02T03:03:00)",
        ScheduleExpressionTimezone: "UTC",
        FlexibleTimeWindow: { Mode: "OFF" },
        ActionAfterCompletion: "DELETE",
        ClientToken: expect.any(String),
        Target: {
          Arn: names.onAlarmArn,
          RoleArn: names.schedulerRoleArn,
          Input: '{"alarm":"sweep"}',
          DeadLetterConfig: { Arn: names.deadLettersArn },
        },
      },
    ]);
    expect(calls()).toBe(0);
  });

  it.each([0, 30, 59])(
    "rings to the millisecond when the Scheduler fires %i s late",
    async (second) => {
      stubbed.stub.scheduler.second = second;
      for (const offset of [nearMs, nearMs + 1, nearMs + 31_234, nearMs + 59_999, 10 * minuteMs]) {
        rings = [];
        const at = clock.now() + offset;
        await stubbed.alarm.set("a", at);
        await clock.advance(offset + minuteMs);
        expect(rings).toEqual([{ id: "a", at }]);
        expect(stubbed.stub.scheduler.schedules.size).toBe(0);
      }
    },
  );

  it("rings once, at its new instant, when it is set anew: later, earlier, in the same minute", async () => {
    const start = clock.now();
    for (const [id, instants] of Object.entries({
      later: [10, 20],
      earlier: [30, 4],
      same: [10, 10.1],
      nearer: [10, 0.5],
      farther: [0.5, 10],
    }))
      for (const minutes of instants) await stubbed.alarm.set(id, start + minutes * minuteMs);
    await clock.advance(40 * minuteMs);
    const minutesOf = (id: AlarmId) =>
      rings.filter((ring) => ring.id === id).map(({ at }) => (at - start) / minuteMs);
    expect(minutesOf("later")).toEqual([20]);
    expect(minutesOf("earlier")).toEqual([4]);
    expect(minutesOf("same")).toEqual([10.1]);
    expect(minutesOf("nearer")).toEqual([0.5]);
    expect(minutesOf("farther")).toEqual([10]);
  });

  it("does not ring when it is cancelled, be it far, or its function asleep already", async () => {
    for (const offset of [10 * minuteMs, minuteMs]) {
      await stubbed.alarm.set("a", clock.now() + offset);
      await clock.advance(offset - 1);
      await stubbed.alarm.cancel("a");
      await clock.advance(30 * minuteMs);
    }
    expect(rings).toEqual([]);
    expect(calls()).toBe(2);
  });

  it("does not hold a function that is woken for an alarm of later, of nobody, or rung", async () => {
    await stubbed.alarm.set("later", clock.now() + 10 * minuteMs);
    await stubbed.alarm.set("rung", clock.now());
    await clock.advance(1);
    for (const alarm of ["later", "nobody", "rung"])
      expect(await stubbed.ringer.wake({ alarm })).toBeUndefined();
    expect(rings.map(({ id }) => id)).toEqual(["rung"]);
  });

  it("says by how much a ring was late", async () => {
    stubbed.stub.next("Invoke", { status: 202 });
    await stubbed.alarm.set("a", clock.now());
    await clock.advance(1_234);
    expect(await stubbed.ringer.wake({ alarm: "a" })).toEqual({ latenessMs: 1_234 });
  });

  it("sets an alarm anew from within its ring", async () => {
    const again = async () => {
      rings.push({ id: "a", at: clock.now() });
      if (rings.length < 4) await stubbed.alarm.set("a", clock.now() + 130_000);
    };
    const start = clock.now();
    await stubbed.stop();
    stubbed = await StubbedAlarm.start(clock, again);
    await stubbed.alarm.set("a", start);
    for (let i = 0; i < 40; i++) {
      await clock.advance(minuteMs / 4);
      // The request to the Scheduler takes real time.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(rings.map(({ at }) => at - start)).toHaveLength(4);
  });

  it("rings again when the handler fails, and gives up an event after three times", async () => {
    failures = 99;
    await stubbed.alarm.set("a", clock.now());
    await clock.advance(30 * minuteMs);
    expect(rings).toHaveLength(3);
    expect(stubbed.stub.lambda.deadLetters).toEqual([{ alarm: "a" }]);
  });

  it("updates the schedule that is there, and makes it anew where it has just gone", async () => {
    const at = clock.now() + 10 * minuteMs;
    await stubbed.alarm.set("a", at);
    await stubbed.alarm.set("a", at + 1);
    expect(requests()).toEqual(["CreateSchedule", "CreateSchedule", "UpdateSchedule"]);
    requests().length = 0;
    stubbed.stub.next("UpdateSchedule", schedulerError(404, "ResourceNotFoundException"));
    stubbed.stub.next("CreateSchedule", undefined);
    await stubbed.alarm.set("a", at);
    expect(requests()).toEqual([
      "CreateSchedule",
      "UpdateSchedule",
      "CreateSchedule",
      "UpdateSchedule",
    ]);
  });

  it("calls the function where AWS says that the minute has passed", async () => {
    stubbed.stub.next("CreateSchedule", schedulerError(400, "ValidationException"));
    const at = clock.now() + nearMs;
    await stubbed.alarm.set("a", at);
    expect(requests()).toEqual(["CreateSchedule", "Invoke"]);
    await clock.advance(10 * minuteMs);
    expect(rings).toEqual([{ id: "a", at }]);
  });

  it("throws where AWS refuses a schedule for another reason", async () => {
    stubbed.stub.next("CreateSchedule", schedulerError(400, "ValidationException"));
    const set = stubbed.alarm.set("a", clock.now() + 10 * minuteMs);
    await expect(set).rejects.toMatchObject({ name: "ValidationException" });
    stubbed.stub.next("CreateSchedule", schedulerError(404, "ResourceNotFoundException"));
    const inNoGroup = stubbed.alarm.set("a", clock.now() + 10 * minuteMs);
    await expect(inNoGroup).rejects.toBeInstanceOf(Unavailable);
  });

  it.each([
    ["CreateSchedule", 10 * minuteMs],
    ["Invoke", 0],
  ])("tries again when it is throttled, not answered, or fails: %s", async (operation, offset) => {
    stubbed.stub.next(
      operation,
      schedulerError(429, "ThrottlingException"),
      schedulerError(500, "InternalServerException"),
      schedulerError(429, "TooManyRequestsException"),
      "lose",
    );
    await stubbed.alarm.set("a", clock.now() + offset);
    await clock.advance(offset + minuteMs);
    expect(rings).toHaveLength(1);
  });

  it("rings where the answer was lost", async () => {
    stubbed.stub.next("CreateSchedule", "swallow");
    await stubbed.alarm.set("far", clock.now() + 10 * minuteMs);
    stubbed.stub.next("Invoke", "swallow");
    await stubbed.alarm.set("near", clock.now() + minuteMs);
    await clock.advance(20 * minuteMs);
    expect([...new Set(rings.map(({ id }) => id))]).toEqual(["near", "far"]);
  });
});

describe("wakings", () => {
  it("wake for every far instant ahead of now, and at least one and less than two minutes early", () => {
    const start = 1_700_000_000_000;
    for (let at = start + nearMs; at < start + nearMs + 2 * minuteMs; at += 997) {
      const instant = wakeAt(at);
      expect(instant % minuteMs).toBe(0);
      expect(instant - start).toBeGreaterThan(5_000);
      expect(at - instant).toBeGreaterThanOrEqual(minuteMs);
      expect(at - instant).toBeLessThan(2 * minuteMs);
    }
  });

  it("have names that the Scheduler takes, one for each alarm and minute", () => {
    const ids = [
      "a",
      "a/b",
      "a_b",
      "a.b",
      `${"x".repeat(127)}a`,
      `${"x".repeat(127)}b`,
      "x".repeat(32),
    ];
    const all = ids.flatMap((id) =>
      [0, 1].map((i) => scheduleName(id, 1_700_000_040_000 + i * minuteMs)),
    );
    expect(new Set(all).size).toBe(2 * ids.length);
    for (const name of all) expect(name).toMatch(/^[A-Za-z0-9_.-]{1,64}$/);
    expect(ids.every(isAlarmId)).toBe(true);
    expect(all[0]).toBe("a-28333334");
  });

  it("are told from other events", () => {
    expect(isWaking({ alarm: "a/b", _request_id: "x" })).toBe(true);
    for (const event of [null, "a", {}, { alarm: 1 }, { alarm: "" }, { alarm: "ü" }])
      expect(isWaking(event)).toBe(false);
  });
});
