import type { Clock } from "../../../../src/broker/ports/clock.ts";
import type { StubAnswer, StubRequest } from "./aws-stub.ts";
import type { LambdaStub } from "./lambda-stub.ts";

export interface StubSchedule {
  readonly Name: string;
  readonly GroupName: string;
  readonly ScheduleExpression: string;
  readonly ScheduleExpressionTimezone: string;
  readonly FlexibleTimeWindow: { readonly Mode: string };
  readonly ActionAfterCompletion: string;
  readonly Target: {
    readonly Arn: string;
    readonly RoleArn: string;
    readonly Input: string;
    readonly DeadLetterConfig?: { readonly Arn: string };
  };
}

/** EventBridge Scheduler with one-time schedules. It fires somewhere in the minute that it was given. */
export class SchedulerStub {
  readonly schedules = new Map<string, StubSchedule>();
  /** In which second of the minute it fires. */
  second = 0;
  readonly #clock: Clock;
  readonly #lambda: LambdaStub;

  constructor(clock: Clock, lambda: LambdaStub) {
    this.#clock = clock;
    this.#lambda = lambda;
  }

  nameOf({ method, path }: StubRequest): string | undefined {
    if (!path.startsWith("/schedules/")) return undefined;
    return { POST: "CreateSchedule", PUT: "UpdateSchedule" }[method];
  }

  handle(operation: string, { path, body }: StubRequest): StubAnswer {
    const Name = decodeURIComponent(path.split("/")[2] ?? "");
    const schedule: StubSchedule = { ...JSON.parse(body.toString()), Name };
    const at = instantOf(schedule);
    if (at === undefined || !/^[\w.-]{1,64}$/.test(Name) || at < this.#clock.now())
      return schedulerError(400, "ValidationException");
    const exists = this.schedules.has(Name);
    if (operation === "CreateSchedule" && exists) return schedulerError(409, "ConflictException");
    if (operation === "UpdateSchedule" && !exists)
      return schedulerError(404, "ResourceNotFoundException");
    this.schedules.set(Name, schedule);
    void this.#fire(schedule, at + this.second * 1_000);
    return { status: 200, body: JSON.stringify({ ScheduleArn: `arn:${Name}` }) };
  }

  async #fire(schedule: StubSchedule, at: number): Promise<void> {
    await this.#clock.sleep(at - this.#clock.now());
    // Otherwise it was updated, and that one fires.
    if (this.schedules.get(schedule.Name) !== schedule) return;
    this.#lambda.invoke(schedule.Target.Arn, JSON.parse(schedule.Target.Input));
    if (schedule.ActionAfterCompletion === "DELETE") this.schedules.delete(schedule.Name);
  }
}

export function schedulerError(status: number, type: string): StubAnswer {
  const headers = { "content-type": "application/json", "x-amzn-errortype": type };
  return { status, headers, body: JSON.stringify({ Message: type }) };
}

function instantOf({ ScheduleExpression, ScheduleExpressionTimezone }: StubSchedule) {
  const [, local] = /^at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)$/.exec(ScheduleExpression) ?? [];
  if (local === undefined || ScheduleExpressionTimezone !== "UTC") return undefined;
  return Date.parse(`${local}Z`);
}
