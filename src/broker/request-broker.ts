import type { BrokerIdentity } from "./broker-identity.ts";
import { deleteTopicsOf, groupHasMembers } from "./consuming/group-deletion.ts";
import { GroupOffsets } from "./consuming/group-offsets.ts";
import { Groups } from "./consuming/groups.ts";
import { Members } from "./consuming/members.ts";
import { QueueStates } from "./consuming/queue-states.ts";
import { Receiving } from "./consuming/receive.ts";
import type { LogSettings } from "./log/log-settings.ts";
import { Unavailable } from "./ports/failures.ts";
import type { Ports } from "./ports/ports.ts";
import { SendingBroker } from "./sending-broker.ts";
import { Checks } from "./transactions/checks.ts";
import { ProducerGroups } from "./transactions/producer-groups.ts";
import { Transactions } from "./transactions/transactions.ts";
import { wakeForWork } from "./work/work-alarm.ts";

/** A broker for whoever asks: it answers every request, and does nothing that it is not asked for. */
export class RequestBroker extends SendingBroker {
  /** What it tells of itself, where whoever runs it knows how others reach it. */
  identity: BrokerIdentity | undefined;
  readonly states = new QueueStates();
  readonly groups: Groups;
  readonly members: Members;
  readonly groupOffsets: GroupOffsets;
  readonly receiving: Receiving;
  readonly producerGroups = new ProducerGroups();
  readonly checks = new Checks(this.producerGroups);
  readonly transactions: Transactions;

  constructor(ports: Ports, settings: Partial<LogSettings> = {}) {
    super(ports, settings);
    this.groups = new Groups(this.log, this.topics);
    this.members = new Members(this.groups, this.topics, this.states);
    this.groupOffsets = new GroupOffsets(this.groups, this.topics, this.states);
    this.receiving = new Receiving(this);
    this.transactions = new Transactions(this.topics, this.log, this.timers, this.producerGroups);
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
}
