import {
  ConflictException,
  CreateScheduleCommand,
  ResourceNotFoundException,
  SchedulerClient,
  type SchedulerClientConfig,
  UpdateScheduleCommand,
  type UpdateScheduleCommandInput,
  ValidationException,
} from "@aws-sdk/client-scheduler";
import type { Alarm, AlarmId } from "../../broker/ports/alarm.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import { AlarmRows, type AlarmRowsOptions } from "./alarm-rows.ts";
import { type Attempt, attemptsAtWill, NoEffect } from "./attempts.ts";
import { clientSettings } from "./client-settings.ts";
import { FunctionCaller } from "./function-caller.ts";
import { nearMs, scheduleExpression, scheduleName, type Waking, wakeAt } from "./wakings.ts";

export interface SchedulerAlarmOptions extends AlarmRowsOptions {
  /** Schedules of nobody else lie in this group. */
  readonly scheduleGroup: string;
  /** Under it the Scheduler calls the function. */
  readonly schedulerRoleArn: string;
  /** The function that is woken; it has an `AlarmRinger` over the same store. */
  readonly onAlarmArn: string;
  /** The SQS queue for wakings that the Scheduler could not deliver. */
  readonly deadLettersArn?: string;
  /** Region, credentials, endpoint; what is left out comes from where the SDK looks for it. */
  readonly client?: SchedulerClientConfig;
  /** Where Lambda is called, if not at the public endpoint of the region. */
  readonly lambdaEndpoint?: string;
}

const attemptMs = 5_000;
const callMs = 15_000;

/** A schedule of AWS that begins in less than this may be past by the clock of AWS. */
const clocksDifferMsMax = 60_000;

/**
 * Alarms over EventBridge Scheduler. A row in the store says which alarms are set and for when; schedules and calls only
 * see to it that somebody looks at the row in time. So an alarm that is set anew or cancelled needs no schedule to be found
 * and deleted: the one that is left wakes somebody who finds nothing to do.
 */
export class SchedulerAlarm implements Alarm {
  readonly #options: SchedulerAlarmOptions;
  readonly #clock: Clock;
  readonly #rows: AlarmRows;
  readonly #client: SchedulerClient;
  readonly #caller: FunctionCaller;

  constructor(options: SchedulerAlarmOptions) {
    const { client, lambdaEndpoint, onAlarmArn } = options;
    this.#options = options;
    this.#clock = options.clock;
    this.#rows = new AlarmRows(options);
    this.#client = new SchedulerClient({ ...clientSettings, ...client, maxAttempts: 1 });
    this.#caller = new FunctionCaller({
      client: this.#client,
      functionArn: onAlarmArn,
      ...(lambdaEndpoint === undefined ? {} : { endpoint: lambdaEndpoint }),
    });
  }

  close(): void {
    this.#client.destroy();
  }

  async set(id: AlarmId, at: number): Promise<void> {
    const waking: Waking = { alarm: id };
    const instant = wakeAt(at);
    if (at - this.#clock.now() < nearMs) {
      // In this order: who is called now looks at the row at once.
      await this.#rows.put(id, at);
      await this.#call(waking);
      return;
    }
    // In this order: were it to end halfway, the alarm that is set already would still ring.
    const scheduled = await this.#schedule(waking, instant);
    await this.#rows.put(id, at, instant);
    if (scheduled === "past") await this.#call(waking);
  }

  async cancel(id: AlarmId): Promise<void> {
    await this.#rows.delete(id);
  }

  #call(waking: Waking): Promise<void> {
    return this.#attempts((attempt) => this.#caller.call(waking, attempt));
  }

  /** `past`: AWS takes no schedule for then any more. */
  async #schedule(waking: Waking, instant: number): Promise<"scheduled" | "past"> {
    const input = this.#scheduleOf(waking, instant);
    return this.#attempts(async (attempt) => {
      try {
        await this.#put(input, attempt);
        return "scheduled";
      } catch (error) {
        const mayBePast = instant - this.#clock.now() < clocksDifferMsMax;
        if (error instanceof ValidationException && mayBePast) return "past";
        throw error;
      }
    });
  }

  async #put(input: UpdateScheduleCommandInput, attempt: Attempt): Promise<void> {
    const options = { abortSignal: attempt.signal };
    try {
      const command = new CreateScheduleCommand(input);
      attempt.guard(command);
      await this.#client.send(command, options);
      return;
    } catch (error) {
      if (!(error instanceof ConflictException)) throw error;
    }
    try {
      const command = new UpdateScheduleCommand(input);
      attempt.guard(command);
      await this.#client.send(command, options);
    } catch (error) {
      if (!(error instanceof ResourceNotFoundException)) throw error;
      throw new NoEffect("the schedule was just deleted", { cause: error });
    }
  }

  #scheduleOf(waking: Waking, instant: number): UpdateScheduleCommandInput {
    const { scheduleGroup, schedulerRoleArn, onAlarmArn, deadLettersArn } = this.#options;
    return {
      Name: scheduleName(waking.alarm, instant),
      GroupName: scheduleGroup,
      ScheduleExpression: scheduleExpression(instant),
      ScheduleExpressionTimezone: "UTC",
      FlexibleTimeWindow: { Mode: "OFF" },
      ActionAfterCompletion: "DELETE",
      Target: {
        Arn: onAlarmArn,
        RoleArn: schedulerRoleArn,
        Input: JSON.stringify(waking),
        ...(deadLettersArn === undefined ? {} : { DeadLetterConfig: { Arn: deadLettersArn } }),
      },
    };
  }

  #attempts<T>(run: (attempt: Attempt) => Promise<T>): Promise<T> {
    const until = this.#clock.now() + callMs;
    return attemptsAtWill({ clock: this.#clock, until, attemptMs }, run);
  }
}
