import type { Mutant } from "./mutant.ts";

const delivery = "src/broker/timers/delivery.ts";
const sending = "src/broker/sending/send-messages.ts";
const timers = "src/broker/timers/timers.ts";
const walker = "src/broker/timers/walker.ts";
const writes = "src/broker/timers/timer-writes.ts";

/** Bugs of messages that wait: of putting, walking, delivering and recalling them. */
export const mutantsOfTimers: readonly Mutant[] = [
  {
    name: "a timer delivered early",
    patches: [
      {
        file: walker,
        find: "        to: offsetKey(readAt + 1),",
        replace: "        to: offsetKey(readAt + 1_000),",
      },
    ],
  },
  {
    name: "a timer turned before it is appended",
    patches: [
      {
        file: delivery,
        find: "      await this.#log.append(io, { topicId, queue }, placed.batch, {",
        replace: `      const early = turn(io, item, { ...delivered, offset: 0, deliveredAt: 0 });
      const until = io.clock.now() + limits.appendDeadlineMs;
      if ((await io.store.commit([early], until)).outcome !== "applied") return false;
      item = { ...item, version: early.version };
      await this.#log.append(io, { topicId, queue }, placed.batch, {`,
      },
    ],
  },
  {
    name: "a timer turned after it was appended",
    patches: [
      {
        file: delivery,
        find: "        turn: ({ base: offset, storedAt }) =>\n          turn(io, item, { ...delivered, offset, deliveredAt: storedAt }),\n      });",
        replace: `      }).then(({ base: offset, storedAt }) => {
        const late = turn(io, item, { ...delivered, offset, deliveredAt: storedAt });
        return io.store.commit([late], io.clock.now() + limits.appendDeadlineMs);
      });`,
      },
    ],
  },
  {
    name: "a recall that succeeds after delivery",
    patches: [
      {
        file: timers,
        find: '      if (timer.state === "recalled") return;',
        replace: '      if (timer.state !== "waiting") return;',
      },
    ],
  },
  {
    name: "a recall without comparing",
    patches: [
      {
        file: timers,
        find: "      const { outcome } = await commitUntilDecided(io, [turned], until);",
        replace:
          "      const { outcome } = await commitUntilDecided(io, [{ ...turned, expect: undefined } as never], until);",
      },
    ],
  },
  {
    name: "a timer born again by its own late send",
    patches: [{ file: writes, find: '    expect: "absent",\n', replace: "" }],
  },
  {
    name: "a turned timer kept for a minute",
    patches: [
      {
        file: writes,
        find: "dueAtOf(key.sort)) + limits.timerKeptMs;",
        replace: "dueAtOf(key.sort)) + 60_000;",
      },
    ],
  },
  {
    name: "a delay that counts from the last attempt",
    patches: [
      {
        file: sending,
        find: "route(topic, message, { id, bornAt, index })",
        replace: "route(topic, message, { id, bornAt: now, index })",
      },
    ],
  },
  {
    name: "a sweep that forgets a minute",
    patches: [
      {
        file: walker,
        find: "    if (isOver && waitingAt === undefined && version !== undefined) {",
        replace: "    if (isOver && version !== undefined) {",
      },
    ],
  },
  {
    name: "a minute given up without reading it once more",
    patches: [
      {
        file: walker,
        find: "const from = isOver ? 0 : Math.min(visited.doneTo, visited.rewoundTo);",
        replace: "const from = visited.doneTo;",
      },
    ],
  },
  {
    name: "a minute given up while a newcomer is written into it",
    patches: [
      {
        file: walker,
        find: "const minuteGraceMs = limits.appendDeadlineMs + 60_000;",
        replace: "const minuteGraceMs = 0;",
      },
      {
        file: walker,
        find: '[{ kind: "delete", key, expect: { version } }]',
        replace: '[{ kind: "delete", key }]',
      },
    ],
  },
  {
    name: "a timer in a minute that nobody is told of",
    patches: [
      {
        file: timers,
        find: "const isOver = startOf(minuteShard.minute + 1) <= now;",
        replace: "const isOver = false;",
      },
    ],
  },
];
