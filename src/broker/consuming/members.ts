import { jitter, newVersion } from "../chance.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, storeLimits, type Write } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { keys, partitions } from "../schema.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import { type Assignment, assign } from "./assignment.ts";
import type { Group } from "./group.ts";
import type { Groups } from "./groups.ts";
import type { QueueStates } from "./queue-states.ts";
import { claimFor } from "./settle-state.ts";

export interface Member {
  readonly clientId: string;
  readonly topics: readonly string[];
  /** It is a member no longer than until then, unless it is heard of again (ms). */
  readonly until: number;
}

/** What a member is told. */
export interface Membership {
  /** It rises whenever somebody comes or goes. */
  readonly generation: number;
  readonly assignments: Readonly<Record<string, readonly number[]>>;
}

/** Who consumes what, in one row. */
interface Shares {
  readonly generation: number;
  /** The topics of each member, as these shares count with them. */
  readonly members: Readonly<Record<string, readonly string[]>>;
  readonly topics: Readonly<Record<string, SharesOfTopic>>;
}

interface SharesOfTopic {
  readonly queues: number;
  readonly assignment: Assignment;
  /** By queue: the generation in which it came to its member. */
  readonly since: readonly number[];
}

const attemptsMax = 20;
const decoder = new TextDecoder();
const noShares: Shares = { generation: 0, members: {}, topics: {} };

/**
 * The members of consumer groups. A member is a row that it renews by heartbeats and that expires by itself. Which queues
 * are whose stands in another row, which whoever finds that it does not fit the members any more makes anew, by compare and
 * set. A new owner is told of a queue only after it was claimed for it, in the state of the queue itself, which commits of
 * older generations then do not pass (rule 20 of the log).
 */
export class Members {
  readonly #groups: Groups;
  readonly #topics: Topics;
  readonly #states: QueueStates;
  /** What members were told here, and when they were heard of. */
  readonly #told = new Map<
    string,
    { readonly at: number; readonly topics: string; readonly membership: Membership }
  >();
  /** Claims that were seen to here: the generation by consumer and queue. */
  readonly #claimed = new Map<string, number>();

  constructor(groups: Groups, topics: Topics, states: QueueStates) {
    this.#groups = groups;
    this.#topics = topics;
    this.#states = states;
  }

  /** Joins a group, or stays in it. */
  async heartbeat(
    io: Ports,
    {
      group: name,
      clientId,
      topics,
    }: { readonly group: string; readonly clientId: string; readonly topics: readonly string[] },
  ): Promise<Membership> {
    const wanted = [...new Set(topics)].sort();
    const consumed: Topic[] = [];
    for (const topic of wanted) consumed.push(await this.#topics.get(io, topic));
    for (const topic of consumed)
      await this.#groups.subscribe(io, { group: name, topic, clientId });
    const group = await this.#groups.get(io, name);
    const at = io.clock.now();
    await this.#renew(io, group, clientId, wanted);
    const shares = await this.#settle(io, group);
    const assignments: Record<string, readonly number[]> = {};
    for (const topic of consumed) {
      const of = shares.topics[topic.name];
      assignments[topic.name] = of?.assignment[clientId] ?? [];
      if (of !== undefined && !group.broadcast) await this.#claim(io, group, topic, clientId, of);
    }
    const membership = { generation: shares.generation, assignments };
    this.#tell(`${group.id}/${clientId}`, { at, topics: wanted.join(), membership });
    return membership;
  }

  /** The same, from memory where the member was heard of here lately enough. */
  async stay(
    io: Ports,
    member: {
      readonly group: string;
      readonly clientId: string;
      readonly topics: readonly string[];
    },
  ): Promise<Membership> {
    const group = await this.#groups.find(io, member.group);
    const told = group && this.#told.get(`${group.id}/${member.clientId}`);
    const isSame = told?.topics === [...new Set(member.topics)].sort().join();
    if (told !== undefined && isSame && io.clock.now() - told.at < limits.heartbeatMs)
      return told.membership;
    return await this.heartbeat(io, member);
  }

  /** What is remembered of a member turned out to be old. */
  forget(group: Group, clientId: string): void {
    this.#told.delete(`${group.id}/${clientId}`);
  }

  /** Leaves a group at once. Its queues go to the others. */
  async leave(io: Ports, name: string, clientId: string): Promise<void> {
    const group = await this.#groups.get(io, name);
    this.forget(group, clientId);
    const until = io.clock.now() + limits.appendDeadlineMs;
    const gone: Write = { kind: "delete", key: keys.member(group.id, clientId) };
    await commitUntilDecided(io, [gone], until);
    await this.#settle(io, group);
  }

  /** Who is in the group now, and what each consumes. */
  async list(
    io: Ports,
    name: string,
  ): Promise<{
    readonly generation: number;
    readonly members: readonly (Member & { readonly assignments: Membership["assignments"] })[];
  }> {
    const group = await this.#groups.getNow(io, name);
    const { members, shares } = await this.#read(io, group);
    return {
      generation: shares.generation,
      members: members.map((member) => ({
        ...member,
        assignments: Object.fromEntries(
          member.topics.map((topic) => [
            topic,
            shares.topics[topic]?.assignment[member.clientId] ?? [],
          ]),
        ),
      })),
    };
  }

  async #renew(
    io: Ports,
    group: Group,
    clientId: string,
    topics: readonly string[],
  ): Promise<void> {
    const now = io.clock.now();
    const put: Write = {
      kind: "put",
      key: keys.member(group.id, clientId),
      value: encodeRecord({ topics }),
      version: newVersion(io.random),
      expiresAt: now + limits.memberMs,
    };
    // A heartbeat that is held up must not make a member of somebody who left meanwhile.
    await commitUntilDecided(io, [put], now + limits.memberMs);
  }

  /** Makes the shares anew where they do not fit the members any more. Answers what they are. */
  async #settle(io: Ports, group: Group): Promise<Shares> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const { members, shares, item } = await this.#read(io, group);
      if (members.length > limits.membersPerGroupMax)
        throw invalid(
          "clientId",
          `${members.length} members`,
          `at most ${limits.membersPerGroupMax}`,
        );
      const after = await this.#shared(io, group, members, shares);
      if (after === undefined) return shares;
      const put: Write = {
        kind: "put",
        key: keys.assignment(group.id),
        value: encodeRecord(after),
        version: newVersion(io.random),
        expect: item === undefined ? "absent" : { version: item.version },
      };
      const until = io.clock.now() + limits.appendDeadlineMs;
      const { outcome } = await commitUntilDecided(io, [put], until);
      if (outcome === "applied") return after;
      await io.clock.sleep(jitter(io.random, Math.min(200, 2 ** attempt)));
    }
    throw new BrokerError("contention", "members came and went all the time", {
      attempts: attemptsMax,
    });
  }

  /** `undefined` where the shares fit. */
  async #shared(
    io: Ports,
    group: Group,
    members: readonly Member[],
    before: Shares,
  ): Promise<Shares | undefined> {
    const topics: Record<string, SharesOfTopic> = {};
    const generation = before.generation + 1;
    for (const name of new Set(members.flatMap((member) => member.topics))) {
      const topic = await this.#topics.find(io, name);
      if (topic === undefined) continue;
      const own = members.filter((member) => member.topics.includes(name));
      topics[name] = shareTopic(topic.queues, own, before.topics[name], { generation, group });
    }
    const now: Record<string, readonly string[]> = Object.fromEntries(
      members.map((member) => [member.clientId, member.topics]),
    );
    const fits =
      JSON.stringify(now) === JSON.stringify(before.members) &&
      Object.keys(topics).length === Object.keys(before.topics).length &&
      Object.entries(topics).every(([name, { queues }]) => before.topics[name]?.queues === queues);
    return fits ? undefined : { generation, members: now, topics };
  }

  async #read(
    io: Ports,
    group: Group,
  ): Promise<{
    readonly members: readonly Member[];
    readonly shares: Shares;
    readonly item: Item | undefined;
  }> {
    const partition = partitions.members(group.id);
    const page = await io.store.scan({ partition, limit: storeLimits.scanItemsMax });
    const members: Member[] = [];
    let item: Item | undefined;
    for (const found of page.items) {
      const { sort } = found.key;
      if (sort[0] === 0) item = found;
      else {
        const { topics } = decodeRecord<{ topics: string[] }>("member", found.value);
        members.push({ clientId: decoder.decode(sort), topics, until: found.expiresAt ?? 0 });
      }
    }
    const shares = item === undefined ? noShares : decodeRecord<Shares>("assignment", item.value);
    return { members, shares, item };
  }

  /** Writes into the state of each queue since when it belongs to its member, before the member hears of it. */
  async #claim(
    io: Ports,
    group: Group,
    topic: Topic,
    clientId: string,
    { assignment, since }: SharesOfTopic,
  ): Promise<void> {
    const consumer = { groupId: group.id, topicId: topic.id, member: "" };
    await Promise.all(
      (assignment[clientId] ?? []).map(async (queue) => {
        const generation = since[queue] ?? 0;
        const name = `${group.id}/${topic.id}/${queue}`;
        if ((this.#claimed.get(name) ?? -1) >= generation) return;
        await this.#states.change(io, consumer, queue, ({ state }) =>
          claimFor(state, clientId, generation),
        );
        if (this.#claimed.size >= claimsKept) this.#claimed.clear();
        this.#claimed.set(name, generation);
      }),
    );
  }

  #tell(name: string, told: { at: number; topics: string; membership: Membership }): void {
    if (this.#told.size >= membersKept) this.#told.clear();
    this.#told.set(name, told);
  }
}

const claimsKept = 100_000;
const membersKept = 10_000;

function shareTopic(
  queues: number,
  members: readonly Member[],
  before: SharesOfTopic | undefined,
  { generation, group }: { readonly generation: number; readonly group: Group },
): SharesOfTopic {
  const ids = members.map(({ clientId }) => clientId);
  const all = Array.from({ length: queues }, (_, queue) => queue);
  const assignment = group.broadcast
    ? Object.fromEntries(ids.map((id) => [id, all]))
    : assign(queues, ids, before?.assignment ?? {});
  const ownerOf = (of: Assignment | undefined, queue: number) =>
    Object.entries(of ?? {}).find(([, own]) => own.includes(queue))?.[0];
  const since = all.map((queue) => {
    const same = ownerOf(before?.assignment, queue) === ownerOf(assignment, queue);
    return same ? (before?.since[queue] ?? generation) : generation;
  });
  return { queues, assignment, since };
}
