import { doGroupDeletion } from "./consuming/group-deletion.ts";
import { doDropLarge } from "./log/large-batches.ts";
import type { LogSettings } from "./log/log-settings.ts";
import { doSegmentWork } from "./log/segment-work.ts";
import type { AlarmId } from "./ports/alarm.ts";
import type { Ports } from "./ports/ports.ts";
import { RequestBroker } from "./request-broker.ts";
import { minuteOfAlarm } from "./timers/minute-alarm.ts";
import { TimerWalker } from "./timers/walker.ts";
import { doTopicDeletion } from "./topics/topic-deletion.ts";
import { doCheckBack } from "./transactions/check-back-work.ts";
import type { DueWork } from "./work/work.ts";
import { wakeForWork } from "./work/work-alarm.ts";
import { tick, type WorkDone } from "./work/work-queue.ts";

/** A sweep ends after so many steps and lets the alarm call it again, so that it fits any time limit. */
const sweepStepsMax = 100;

/** A whole broker: it answers requests, and does what is due without being asked. */
export class Broker extends RequestBroker {
  readonly walker: TimerWalker;
  #sweeping: Promise<void> | undefined;
  #sweepAgain = false;

  constructor(ports: Ports, settings: Partial<LogSettings> = {}) {
    super(ports, settings);
    this.walker = new TimerWalker(this.log, this.topics);
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
   * An alarm rang. One for delayed messages has their minute and shard walked to its end, at most until `until`; any other
   * has the broker sweep. What fails in a walk is told to `onError` and tried again while it lasts.
   */
  async ring(
    io: Ports,
    alarm: AlarmId,
    { until, onError }: { readonly until: number; readonly onError: (error: unknown) => void },
  ): Promise<void> {
    const minute = minuteOfAlarm(alarm);
    if (minute === undefined) await this.sweep(io);
    else await this.walker.walkMinute(io, minute, until, { onError });
  }

  async #sweepOnce(io: Ports): Promise<void> {
    await this.walker.deliverDue(io);
    const damages: Error[] = [];
    let next: number | undefined = io.clock.now();
    for (let step = 0; step < sweepStepsMax; step++) {
      const { more, nextAt, damaged } = await tick(io, (ports, due) => this.#perform(ports, due));
      if (damaged !== undefined) damages.push(damaged);
      if (more) continue;
      next = nextAt;
      break;
    }
    if (next !== undefined) await wakeForWork(io, next);
    for (const damaged of damages) throw damaged;
  }

  #perform(io: Ports, { dueAt, work }: DueWork): Promise<WorkDone> {
    const { settings } = this.log;
    if (work.kind === "delete-group") return doGroupDeletion(io, work);
    if (work.kind === "delete-topic") return doTopicDeletion(io, { dueAt, work }, settings);
    if (work.kind === "drop-large") return doDropLarge(io, work, settings);
    if (work.kind === "check-back") return doCheckBack(io, work, this.producerGroups);
    return doSegmentWork(io, this.log.changes, { dueAt, work });
  }
}
