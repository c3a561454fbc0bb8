import { doGroupDeletion } from "./consuming/group-deletion.ts";
import { limits } from "./limits.ts";
import { doDropLarge } from "./log/large-batches.ts";
import type { LogSettings } from "./log/log-settings.ts";
import { doSegmentWork } from "./log/segment-work.ts";
import type { AlarmId } from "./ports/alarm.ts";
import type { Ports } from "./ports/ports.ts";
import { RequestBroker } from "./request-broker.ts";
import { minuteOfAlarm } from "./timers/minute-alarm.ts";
import { TimerWalker } from "./timers/walker.ts";
import { doTopicDeletion } from "./topics/topic-deletion.ts";
import { checksOfAlarm } from "./transactions/check-alarm.ts";
import { doCheckBack } from "./transactions/check-back-work.ts";
import { WebhookChecks } from "./transactions/webhook-checks.ts";
import type { DueWork } from "./work/work.ts";
import { wakeForWork } from "./work/work-alarm.ts";
import { tick, type WorkDone } from "./work/work-queue.ts";

/** A sweep ends after so many steps and lets the alarm call it again, so that it fits any time limit. */
const sweepStepsMax = 100;
/** A sweep asks webhooks for so long: others wait behind it (ms). */
const sweepAsksMs = limits.webhookMsMax;

export interface RingOptions {
  readonly until: number;
  readonly signal?: AbortSignal;
  readonly onError: (error: unknown) => void;
}

/** Whether an alarm has the broker sweep, rather than walk something to its end. */
export function isForSweep(alarm: AlarmId): boolean {
  return minuteOfAlarm(alarm) === undefined && checksOfAlarm(alarm) === undefined;
}

/** A whole broker: it answers requests, and does what is due without being asked. */
export class Broker extends RequestBroker {
  readonly walker: TimerWalker;
  readonly webhookChecks: WebhookChecks;
  #sweeping: Promise<void> | undefined;
  #sweepAgain = false;

  constructor(ports: Ports, settings: Partial<LogSettings> = {}) {
    super(ports, settings);
    this.walker = new TimerWalker(this.log, this.topics);
    this.webhookChecks = new WebhookChecks(this);
    this.timers.onStored = (minuteShard, dueAt) => this.walker.notice(minuteShard, dueAt);
  }

  /**
   * Does what is due and sets the alarm for what is not. The alarm calls it, and whoever runs a broker calls it now and
   * then, so that nothing rests on the alarm alone. Bounded, repeatable, safe to run several times at once. Work on what
   * is damaged is put off, the rest is done, and then it throws `Damaged`.
   */
  sweep(io: Ports): Promise<void> {
    // Two at once in one process would do the same work twice. What came since the one under way began is for another.
    this.#sweepAgain = true;
    this.#sweeping ??= this.#sweepWhileAsked(io).finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  async #sweepWhileAsked(io: Ports): Promise<void> {
    while (this.#sweepAgain) {
      this.#sweepAgain = false;
      await this.#sweepOnce(io);
    }
  }

  /**
   * An alarm rang. One for delayed messages has their minute and shard walked to its end, one for checks has a webhook asked
   * to the end of its slot, at most until `until`; any other has the broker sweep. What fails in a walk is told to `onError`
   * and tried again while it lasts.
   */
  async ring(io: Ports, alarm: AlarmId, options: RingOptions): Promise<void> {
    const { until } = options;
    const minute = minuteOfAlarm(alarm);
    const checks = checksOfAlarm(alarm);
    if (minute !== undefined) await this.walker.walkMinute(io, minute, until, options);
    else if (checks !== undefined) await this.webhookChecks.walk(io, checks, options);
    else await this.sweep(io);
  }

  async #sweepOnce(io: Ports): Promise<void> {
    await this.walker.deliverDue(io);
    const damages: Error[] = [];
    const asked = new Set<string>();
    let next: number | undefined = io.clock.now();
    for (let step = 0; step < sweepStepsMax; step++) {
      const { more, nextAt, damaged } = await tick(io, (ports, due) =>
        this.#perform(ports, due, asked),
      );
      if (damaged !== undefined) damages.push(damaged);
      if (more) continue;
      next = nextAt;
      break;
    }
    if (next !== undefined) await wakeForWork(io, next);
    const until = io.clock.now() + sweepAsksMs;
    for (const group of asked) await this.webhookChecks.askDue(io, group, until);
    for (const damaged of damages) throw damaged;
  }

  #perform(io: Ports, { dueAt, work }: DueWork, asked: Set<string>): Promise<WorkDone> {
    const { settings } = this.log;
    if (work.kind === "delete-group") return doGroupDeletion(io, work);
    if (work.kind === "delete-topic") return doTopicDeletion(io, { dueAt, work }, settings);
    if (work.kind === "drop-large") return doDropLarge(io, work, settings);
    if (work.kind === "check-back")
      return doCheckBack(io, work, this.producerGroups, (group) => asked.add(group));
    return doSegmentWork(io, this.log.changes, { dueAt, work });
  }
}
