import { GroupOffsets } from "./consuming/group-offsets.ts";
import { Log } from "./log/log.ts";
import type { LogSettings } from "./log/log-settings.ts";
import { Unavailable } from "./ports/failures.ts";
import type { Ports } from "./ports/ports.ts";
import { Timers } from "./timers/timers.ts";
import { Topics } from "./topics/topics.ts";
import { wakeForWork } from "./work/work-alarm.ts";

/**
 * A broker for whoever asks: the protocol over the ports, with what it remembers to save requests. Any number of them
 * work on the same store at once; none has to be alive. Every operation takes the ports of its request, so that each
 * request can be metered by itself.
 */
export class RequestBroker {
  readonly ports: Ports;
  readonly topics = new Topics();
  readonly log: Log;
  readonly groupOffsets = new GroupOffsets();
  readonly timers = new Timers();

  constructor(ports: Ports, settings: Partial<LogSettings> = {}) {
    this.ports = ports;
    this.log = new Log(settings);
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
    try {
      await wakeForWork(io, restDueAt);
    } catch (error) {
      // The topic is gone and the work of removing the rest is stored; a later sweep finds it without the alarm.
      if (!(error instanceof Unavailable)) throw error;
    }
  }
}
