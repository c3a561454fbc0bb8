import { AlarmRinger } from "../../../../src/adapters/aws/alarm-ringer.ts";
import { SchedulerAlarm } from "../../../../src/adapters/aws/scheduler-alarm.ts";
import { isWaking } from "../../../../src/adapters/aws/wakings.ts";
import { SystemRandom } from "../../../../src/adapters/local/system-random.ts";
import type { ManualClock } from "../../../../src/adapters/memory/manual-clock.ts";
import { MemoryStore } from "../../../../src/adapters/memory/memory-store.ts";
import type { AlarmId } from "../../../../src/broker/ports/alarm.ts";
import { patientClock } from "../patient-clock.ts";
import { AwsStub } from "./aws-stub.ts";

export const names = {
  scheduleGroup: "tasso",
  schedulerRoleArn: "arn:aws:iam::000000000000:role/scheduler",
  onAlarmArn: "arn:aws:lambda:us-east-1:000000000000:function:on-alarm",
  deadLettersArn: "arn:aws:sqs:us-east-1:000000000000:dead-letters",
} as const;

/** Alarms whose Scheduler and whose woken function live in this process and in simulated time. */
export class StubbedAlarm {
  readonly stub: AwsStub;
  readonly store: MemoryStore;
  readonly ringer: AlarmRinger;
  alarm: SchedulerAlarm;
  readonly #clock: ManualClock;

  private constructor(stub: AwsStub, clock: ManualClock, ring: (id: AlarmId) => Promise<void>) {
    this.stub = stub;
    this.#clock = clock;
    this.store = new MemoryStore(clock);
    this.ringer = new AlarmRinger({ store: this.store, clock, random: new SystemRandom(), ring });
    stub.lambda.onEvent = async (event) => {
      if (!isWaking(event)) throw new Error("the event wakes nobody");
      await this.ringer.wake(event);
    };
    this.alarm = this.#newAlarm();
  }

  static async start(
    clock: ManualClock,
    ring: (id: AlarmId) => Promise<void>,
  ): Promise<StubbedAlarm> {
    return new StubbedAlarm(await AwsStub.start(clock), clock, ring);
  }

  replace(): void {
    this.alarm.close();
    this.alarm = this.#newAlarm();
  }

  async stop(): Promise<void> {
    this.alarm.close();
    await this.stub.stop();
  }

  #newAlarm(): SchedulerAlarm {
    return new SchedulerAlarm({
      ...names,
      store: this.store,
      clock: patientClock(this.#clock),
      random: new SystemRandom(),
      client: this.stub.client,
      lambdaEndpoint: this.stub.endpoint,
    });
  }
}
