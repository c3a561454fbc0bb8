import { Log } from "./log/log.ts";
import type { LogSettings } from "./log/log-settings.ts";
import type { Ports } from "./ports/ports.ts";
import { Timers } from "./timers/timers.ts";
import { Topics } from "./topics/topics.ts";

/**
 * What of a broker a send needs: the protocol over the ports, with what it remembers to save requests. Apart, because a
 * function that serves senders loads nothing else when it starts. Any number of brokers work on the same store at once;
 * none has to be alive. Every operation takes the ports of its request, so that each request can be metered by itself.
 */
export class SendingBroker {
  readonly ports: Ports;
  readonly topics = new Topics();
  readonly log: Log;
  readonly timers = new Timers();

  constructor(ports: Ports, settings: Partial<LogSettings> = {}) {
    this.ports = ports;
    this.log = new Log(settings);
  }
}
