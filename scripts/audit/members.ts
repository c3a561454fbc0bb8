import { callJson, expectJson } from "./http.ts";
import type { ServerProcess } from "./server-process.ts";
import type { SimulatedCell } from "./simulated.ts";

/** What a member is told. */
export interface Told {
  readonly generation: number;
  readonly queues: readonly number[];
}

export interface Polled extends Told {
  readonly messages: readonly { readonly queue: number; readonly offset: number }[];
  /** By queue: what to commit once these are consumed. */
  readonly next: ReadonlyMap<number, number>;
}

/** An answer, or the code of a refusal. */
export type Answer<T> = T | { readonly code: string };

export interface Turn {
  readonly clientId: string;
  readonly generation?: number | undefined;
  readonly commit?: ReadonlyMap<number, number> | undefined;
}

/** A broker as members of one group see it that consume one topic. */
export interface Door {
  heartbeat(clientId: string): Promise<Answer<Told>>;
  poll(turn: Turn, waitMs: number): Promise<Answer<Polled>>;
  commit(turn: Required<Turn>): Promise<Answer<object>>;
  leave(clientId: string): Promise<void>;
  /** The owner of each queue in this generation, as far as its members are alive. */
  owners(): Promise<{ readonly generation: number; readonly owners: ReadonlyMap<number, string> }>;
  send(queue: number, count: number): Promise<void>;
  /** By queue: what was committed, and its end. */
  progress(): Promise<readonly { readonly committed: number; readonly max: number }[]>;
}

type Assignments = Readonly<Record<string, readonly number[]>>;
interface MembershipJson {
  readonly generation: number;
  readonly assignments: Assignments;
}
interface PolledJson extends MembershipJson {
  readonly messages: Polled["messages"];
  readonly next: Readonly<Record<string, Readonly<Record<string, number>>>>;
}
interface MembersJson {
  readonly generation: number;
  readonly members: readonly { readonly clientId: string; readonly assignments: Assignments }[];
}

function ownersIn(topic: string, { generation, members }: MembersJson) {
  const pairs = members.flatMap(({ clientId, assignments }) =>
    (assignments[topic] ?? []).map((queue): [number, string] => [queue, clientId]),
  );
  return { generation, owners: new Map(pairs) };
}

/** Over HTTP. */
export function doorOf({ url }: ServerProcess, topic: string, group: string): Door {
  const toldBy = ({ generation, assignments }: MembershipJson): Told => ({
    generation,
    queues: assignments[topic] ?? [],
  });
  const ask = async <T, U>(method: string, path: string, value: unknown, read: (json: T) => U) => {
    const { status, json } = await callJson<T & { code: string }>(url, method, path, value);
    return status < 300 ? read(json) : { code: json.code };
  };
  const ofGroup = `/v1/groups/${group}`;
  return {
    heartbeat: (clientId) =>
      ask("POST", `${ofGroup}/heartbeat`, { clientId, topics: [topic] }, toldBy),
    poll: ({ clientId, generation, commit }, waitMs) =>
      ask(
        "POST",
        `${ofGroup}/poll`,
        {
          ...{ clientId, topics: [topic], waitMs, max: 100 },
          ...(generation === undefined ? {} : { generation }),
          ...(commit === undefined ? {} : { commit: { [topic]: Object.fromEntries(commit) } }),
        },
        (json: PolledJson) => {
          const next = Object.entries(json.next[topic] ?? {});
          return {
            ...toldBy(json),
            messages: json.messages,
            next: new Map(next.map(([queue, offset]) => [Number(queue), offset])),
          };
        },
      ),
    commit: ({ clientId, generation, commit }) =>
      ask(
        "PUT",
        `${ofGroup}/offsets/${topic}`,
        { clientId, generation, offsets: Object.fromEntries(commit ?? []) },
        (json: object) => json,
      ),
    leave: async (clientId) => {
      await expectJson(url, "POST", `${ofGroup}/leave`, { clientId });
    },
    owners: async () =>
      ownersIn(topic, await expectJson<MembersJson>(url, "GET", `${ofGroup}/members`)),
    send: async (queue, count) => {
      const messages = Array.from({ length: count }, () => ({ body: "x", queue }));
      await expectJson(url, "POST", `/v1/topics/${topic}/messages`, { messages });
    },
    progress: async () => {
      const { queues } = await expectJson<{
        queues: readonly { committed?: number; max: number }[];
      }>(url, "GET", `${ofGroup}/lag/${topic}`);
      return queues.map(({ committed = 0, max }) => ({ committed, max }));
    },
  };
}

/** In simulated time. */
export function simulatedDoorOf(cell: SimulatedCell, topic: string, group: string): Door {
  const ask = async <T, U>(asked: Promise<T>, read: (value: T) => U): Promise<Answer<U>> => {
    try {
      return read(await asked);
    } catch (error) {
      if (error instanceof Error && "code" in error) return { code: String(error.code) };
      throw error;
    }
  };
  const toldBy = ({ generation, assignments }: MembershipJson): Told => ({
    generation,
    queues: assignments[topic] ?? [],
  });
  return {
    heartbeat: (clientId) => ask(cell.heartbeat(group, clientId, topic), toldBy),
    poll: ({ clientId, generation, commit }, waitMs) =>
      ask(
        cell.poll({
          ...{ group, clientId, generation, topics: [topic], waitMs },
          ...{ max: 100, bytesMax: 1_048_576 },
          commit: commit === undefined ? new Map() : new Map([[topic, commit]]),
        }),
        (answer) => ({
          ...toldBy(answer),
          messages: answer.messages.map(({ queue, stored }) => ({ queue, offset: stored.offset })),
          next: answer.next.get(topic) ?? new Map<number, number>(),
        }),
      ),
    commit: ({ clientId, generation, commit }) =>
      ask(
        cell.commit(topic, { group, clientId, generation, offsets: commit ?? new Map() }),
        (offsets) => offsets,
      ),
    leave: (clientId) => cell.leave(group, clientId),
    owners: async () => ownersIn(topic, await cell.members(group)),
    send: async (queue, count) => {
      const body = Buffer.from("x");
      const messages = Array.from({ length: count }, () => ({ body, queue }));
      await cell.send(topic, messages);
    },
    progress: () => cell.progress(group, topic),
  };
}
