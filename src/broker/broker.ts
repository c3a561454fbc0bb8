import { deleteTopicsOf, doGroupDeletion, groupHasMembers } from "./consuming/group-deletion.ts";
import { GroupOffsets } from "./consuming/group-offsets.ts";
import { Groups } from "./consuming/groups.ts";
import { Members } from "./consuming/members.ts";
import { QueueStates } from "./consuming/queue-states.ts";
import { Receiving } from "./consuming/receive.ts";
import { doDropLarge } from "./log/large-batches.ts";
import { Log } from "./log/log.ts";
import type { LogSettings } from "./log/log-settings.ts";
import { doSegmentWork } from "./log/segment-work.ts";
import type { AlarmId } from "./ports/alarm.ts";
import { Unavailable } from "./ports/failures.ts";
import type { Ports } from "./ports/ports.ts";
import { minuteOfAlarm, Timers, walkedUntil } from "./timers/timers.ts";
import { doTopicDeletion } from "./topics/topic-deletion.ts";
import { Topics } from "./topics/topics.ts";
import type { DueWork } from "./work/work.ts";
import { wakeForWork } from "./work/work-alarm.ts";
import { tick, type WorkDone } from "./work/work-queue.ts";

/** A sweep ends after so many steps and lets the alarm call it again, so that it fits any time limit. */
const sweepStepsMax = 100;

/**
 * A broker: the protocol over the ports, with what it remembers to save requests. Any number of them work on the same
 * store at once; none has to be alive. Every operation takes the ports of its request, so that each request can be
 * metered by itself.
 */
export class Broker {
  readonly ports: Ports;
  readonly topics = new Topics();
  readonly log: Log;
  readonly timers: Timers;
  readonly groups: Groups;
  readonly states = new QueueStates();
  readonly members: Members;
  readonly groupOffsets: GroupOffsets;
  readonly receiving: Receiving;
  #sweeping: Promise<void> | undefined;
  #sweepAgain = false;

  constructor(ports: Ports, settings: Partial<LogSettings> = {}) {
    this.ports = ports;
    this.log = new Log(settings);
    this.timers = new Timers(this.log, this.topics);
    this.groups = new Groups(this.log, this.topics);
    this.members = new Members(this.groups, this.topics, this.states);
    this.groupOffsets = new GroupOffsets(this.groups, this.topics, this.states);
    this.receiving = new Receiving(this);
  }

  /** Deletes a topic and sets the alarm for what remains of it. Refused while a group lags, unless forced. */
  async deleteTopic(
    io: Ports,
    name: string,
    { force }: { readonly force: boolean },
  ): Promise<void> {
    if (!force) await this.groupOffsets.expectNoLag(io, this.log, await this.topics.get(io, name));
    const { topic, restDueAt } = await this.topics.delete(io, name);
    for (let queue = 0; queue < topic.queues; queue++)
      this.log.forget({ topicId: topic.id, queue });
    await this.#wakeFor(io, restDueAt);
  }

  /** Deletes a group, its retries and its dead letters. Refused while it has members, unless forced. */
  async deleteGroup(
    io: Ports,
    name: string,
    { force }: { readonly force: boolean },
  ): Promise<void> {
    if (!force) await this.expectNoMembers(io, name);
    // Before the group: one that is made under its name again must not meet them.
    await deleteTopicsOf(io, this.topics, name);
    await this.#wakeFor(io, (await this.groups.delete(io, name)).dueAt);
  }

  /** Throws `group_has_members`. */
  async expectNoMembers(io: Ports, group: string): Promise<void> {
    const { members } = await this.members.list(io, group);
    const ids = members.map(({ clientId }) => clientId);
    if (ids.length > 0) throw groupHasMembers(group, ids);
  }

  /** What has been deleted is gone and the work of removing the rest is stored; a later sweep finds it without the alarm. */
  async #wakeFor(io: Ports, restDueAt: number): Promise<void> {
    try {
      await wakeForWork(io, restDueAt);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
    }
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
   * An alarm rang. One for delayed messages has their minute walked to its end, at most until `until`; any other has the
   * broker sweep. What fails in a walk is told to `onError` and tried again while it lasts.
   */
  async ring(
    io: Ports,
    alarm: AlarmId,
    { until, onError }: { readonly until: number; readonly onError: (error: unknown) => void },
  ): Promise<void> {
    const minute = minuteOfAlarm(alarm);
    if (minute === undefined) return await this.sweep(io);
    this.timers.rewind(minute);
    await this.timers.walk(io, Math.min(until, walkedUntil(minute)), { onError });
  }

  async #sweepOnce(io: Ports): Promise<void> {
    await this.timers.deliverDue(io);
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
    return doSegmentWork(io, this.log.changes, { dueAt, work });
  }
}
