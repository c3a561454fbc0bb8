import { GroupOffsets } from "./consuming/group-offsets.ts";
import { Log, type LogSettings } from "./log/log.ts";
import { Unavailable } from "./ports/failures.ts";
import type { Ports } from "./ports/ports.ts";
import { deletionAlarm, tickTopicDeletions } from "./topics/topic-deletion.ts";
import { Topics } from "./topics/topics.ts";

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
  readonly groupOffsets = new GroupOffsets();

  constructor(ports: Ports, settings: Partial<LogSettings> = {}) {
    this.ports = ports;
    this.log = new Log(ports.clock, settings);
  }

  /** Deletes a topic and sets the alarm for what remains of it. Refused while a group lags, unless forced. */
  async deleteTopic(
    io: Ports,
    name: string,
    { force }: { readonly force: boolean },
  ): Promise<void> {
    if (!force) await this.groupOffsets.expectNoLag(io, this.log, await this.topics.get(io, name));
    const deleted = await this.topics.delete(io, name);
    for (let queue = 0; queue < deleted.queues; queue++)
      this.log.forget({ topicId: deleted.id, queue });
    try {
      await this.sweep(io);
    } catch (error) {
      // The topic is gone and the note of it is stored; a later sweep finds it without the alarm.
      if (!(error instanceof Unavailable)) throw error;
    }
  }

  /**
   * Does what is due and sets the alarm for what is not. The alarm calls it, and whoever runs a broker calls it now and
   * then, so that nothing rests on the alarm alone. Bounded, repeatable, safe to run several times at once.
   */
  async sweep(io: Ports): Promise<void> {
    for (let step = 0; step < sweepStepsMax; step++) {
      const { more, nextAt } = await tickTopicDeletions(io);
      if (more) continue;
      if (nextAt !== undefined) await io.alarm.set(deletionAlarm, nextAt);
      return;
    }
    await io.alarm.set(deletionAlarm, io.clock.now());
  }
}
