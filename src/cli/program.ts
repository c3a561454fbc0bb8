import { Command } from "commander";
import { version } from "../api/operations/health.ts";
import type { ResetPoint, TransactionFacts } from "../client/admin.ts";
import { doctor } from "./commands/doctor.ts";
import { receive } from "./commands/receive.ts";
import { send } from "./commands/send.ts";
import { tail } from "./commands/tail.ts";
import { exitCodes, UsageError } from "./exit-codes.ts";
import { type GlobalOptions, instantIn, Session, wholeNumber } from "./session.ts";
import { withTimes } from "./terminal.ts";

const codes = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the broker, 4 not reachable, 5 outcome unknown.
On a terminal there are tables and, for long work, progress bars; elsewhere each row is a line of JSON.`;

/** The commands. `ended` is told what the command ends with where that is not 0. */
export function programOf(ended: (code: number) => void): Command {
  const program = new Command("tasso")
    .description("A message broker: servers, and what looks at them and uses them")
    .version(version)
    .option("--broker <url>", "a broker (repeatable; default http://127.0.0.1:1290)", collect)
    .option("--name-servers <urls>", "name servers that know the brokers, commas between")
    .option("--token-file <file>", "its first line is the bearer token of every call")
    .option("--timeout-ms <n>", "all attempts of a call together (default 3000)")
    .option("--json", "lines of JSON on a terminal, too")
    .option("--progress", "progress bars on standard error though it is no terminal")
    .addHelpText("after", codes)
    .exitOverride();
  const session = () => new Session(program.opts<GlobalOptions>());
  // Told apart in main.ts and scripts/tasso.mjs; here so that they are listed.
  program.command("start").description("runs a broker on this machine: tasso start --help");
  program.command("nameserver").description("runs a name server: tasso nameserver --help");
  topicCommands(program, session);
  groupCommands(program, session);
  messageCommands(program, session);
  waitingCommands(program, session);
  program
    .command("doctor")
    .description("looks whether brokers and name servers are well")
    .action(async () => {
      if (!(await doctor(session()))) ended(exitCodes.failed);
    });
  return program;
}

type MakeSession = () => Session;

function topicCommands(program: Command, session: MakeSession): void {
  const topics = program.command("topics").description("lists, makes, changes and deletes topics");
  topics
    .command("list", { isDefault: true })
    .description("all topics")
    .action(async () => {
      const made = session();
      const columns = ["topic", "queues", "type", "retentionMs", "writable", "shared"];
      await made.terminal.rows(await made.list((admin) => admin.topics()), columns);
    });
  topics
    .command("show <topic>")
    .description("the ends of its queues")
    .action(async (topic: string) => {
      const made = session();
      const found = await made.each(async ({ admin }) => ({
        queues: (await admin.topic(topic)).queues,
      }));
      const rows = found.flatMap(({ broker, queues }) => queues.map((one) => ({ broker, ...one })));
      await made.terminal.rows(rows, ["broker", "queue", "min", "max"]);
    });
  for (const [verb, method, what] of [
    ["create", "PUT", "makes a topic; the same again changes nothing"],
    ["change", "PATCH", "changes settings; queues are only added"],
  ] as const)
    topics
      .command(`${verb} <topic>`)
      .description(what)
      .option("--queues <n>")
      .option("--type <type>", "MIXED, NORMAL, FIFO, DELAY or TRANSACTION")
      .option("--retention-ms <n>")
      .option("--shared", "other brokers may have queues of it, too")
      .option("--not-shared")
      .option("--read-only", "takes no messages")
      .option("--writable")
      .action(async (topic: string, options: TopicOptions) => {
        const made = session();
        const admin = await made.one();
        const settings = settingsIn(options);
        await made.terminal.thing(
          await admin.request<object>(method, `/v1/topics/${topic}`, settings),
        );
      });
  topics
    .command("delete <topic>")
    .option("--force", "though groups lag")
    .action(async (topic: string, { force = false }: { force?: boolean }) => {
      await (await session().one()).deleteTopic(topic, { force });
    });
}

interface TopicOptions {
  readonly queues?: string;
  readonly type?: string;
  readonly retentionMs?: string;
  readonly shared?: boolean;
  readonly notShared?: boolean;
  readonly readOnly?: boolean;
  readonly writable?: boolean;
}

function settingsIn({ queues, type, retentionMs, ...flags }: TopicOptions): object {
  return {
    ...(queues === undefined ? {} : { queues: wholeNumber(queues) }),
    ...(type === undefined ? {} : { type }),
    ...(retentionMs === undefined ? {} : { retentionMs: wholeNumber(retentionMs) }),
    ...(flags.shared ? { shared: true } : {}),
    ...(flags.notShared ? { shared: false } : {}),
    ...(flags.readOnly ? { writable: false } : {}),
    ...(flags.writable ? { writable: true } : {}),
  };
}

function groupCommands(program: Command, session: MakeSession): void {
  const groups = program.command("groups").description("lists, shows and deletes consumer groups");
  groups
    .command("list", { isDefault: true })
    .description("all groups")
    .action(async () => {
      const made = session();
      const columns = ["group", "topics", "orderly", "broadcast", "paused", "maxAttempts"];
      await made.terminal.rows(await made.list((admin) => admin.groups()), columns);
    });
  groups
    .command("show <group>")
    .description("its settings")
    .action(async (group: string) => {
      const made = session();
      for (const each of await made.each(({ admin }) => admin.group(group)))
        await made.terminal.thing(each);
    });
  groups
    .command("members <group>")
    .description("who consumes")
    .action(async (group: string) => {
      const made = session();
      const found = await made.each(({ admin }) =>
        admin.request<{ members: object[] }>("GET", `/v1/groups/${group}/members`),
      );
      const rows = found.flatMap(({ broker, members }) =>
        members.map((one) => ({ broker, ...one })),
      );
      await made.terminal.rows(rows.map(withTimes), ["broker", "clientId", "topics", "expiresAt"]);
    });
  groups
    .command("delete <group>")
    .option("--force", "though it has members")
    .action(async (group: string, { force = false }: { force?: boolean }) => {
      await (await session().one()).deleteGroup(group, { force });
    });
  program
    .command("lag <group> <topic>")
    .description("how far a group is behind, by queue")
    .action(async (group: string, topic: string) => {
      const made = session();
      const found = await made.each(({ admin }) => admin.lag(group, topic));
      const rows = found.flatMap(({ broker, queues, retry }) => [
        ...queues.map((one) => ({ broker, ...one })),
        { broker, queue: "retry", ...retry },
      ]);
      await made.terminal.rows(rows, ["broker", "queue", "committed", "max", "lag", "inFlight"]);
    });
  program
    .command("reset <group> <topic>")
    .description("has a group begin elsewhere")
    .requiredOption("--to <point>", "earliest, latest, or a time")
    .option("--dry-run", "says what it would do")
    .option("--force", "though it has members")
    .action(
      async (
        group: string,
        topic: string,
        options: { to: string; dryRun?: boolean; force?: boolean },
      ) => {
        const { dryRun = false, force = false } = options;
        const made = session();
        const to = pointIn(options.to);
        const found = await made.each(({ admin }) =>
          admin.reset(group, topic, to, { dryRun, force }),
        );
        const rows = found.flatMap(({ broker, before, after }) =>
          Object.entries(after).map(([queue, offset]) => ({
            broker,
            queue: Number(queue),
            before: before[queue],
            after: offset,
          })),
        );
        await made.terminal.rows(rows, ["broker", "queue", "before", "after"]);
      },
    );
}

function pointIn(text: string): ResetPoint {
  return text === "earliest" || text === "latest" ? text : { at: instantIn(text) };
}

function messageCommands(program: Command, session: MakeSession): void {
  program
    .command("send <topic> [body]")
    .description("sends a message, or each line of a file or of standard input")
    .option(
      "--file <file>",
      "each line is a message; - is standard input, the default without a body",
    )
    .option("--repeat <n>", "sends the body so many times")
    .option("--queue <n>", "to this queue")
    .option("--group <group>", "the message group, whose order is kept")
    .option("--tag <tag>")
    .option("--key <key>", "what it is found by (repeatable)", collect)
    .option("--property <name=value>", "(repeatable)", collect)
    .option("--delay-ms <n>")
    .option("--deliver-at <time>")
    .action((topic: string, body: string | undefined, options) =>
      send(session(), topic, body, options),
    );
  program
    .command("tail <topic>")
    .description("shows messages as they come; touches no group")
    .option("--from <point>", "earliest, latest (default), or a time")
    .option("--until-end", "ends where the topic ended when it began")
    .option("--queue <n>", "only this queue (repeatable)", collect)
    .option("--max <n>", "ends after so many")
    .option("--tag <tag>", "only messages with this tag")
    .option("--body", "bodies alone, a line each")
    .action((topic: string, options) => tail(session(), topic, options));
  program
    .command("receive <group> <topic>")
    .description("receives for a group")
    .option("--max <n>", "at most so many (default 1)")
    .option("--wait-ms <n>", "waits so long for the first one")
    .option("--invisible-ms <n>", "so long nobody else is given them (default 30000)")
    .option("--ack", "acknowledges what it shows")
    .action((group: string, topic: string, options) => receive(session(), group, topic, options));
}

function waitingCommands(program: Command, session: MakeSession): void {
  const dlq = program.command("dlq").description("dead letters of a group");
  dlq.command("list <group>").action(async (group: string) => {
    const made = session();
    const found = await made.list((admin) => admin.deadLetters(group));
    const rows = (
      found as { message: { text(): string; messageId: string; offset: number } }[]
    ).map(({ message, ...rest }) => {
      const { messageId, offset } = message;
      return { offset, messageId, ...rest, body: message.text() };
    });
    await made.terminal.rows(rows, ["offset", "messageId", "origin", "redriven", "body"]);
  });
  dlq
    .command("redrive <group>")
    .description("has them consumed once more; none goes twice")
    .option("--max <n>")
    .option("--filter <filter>")
    .option("--dry-run")
    .action(async (group: string, options: { max?: string; filter?: string; dryRun?: boolean }) => {
      const { max, filter, dryRun = false } = options;
      const made = session();
      const wanted = {
        dryRun,
        ...(max === undefined ? {} : { max: wholeNumber(max) }),
        ...(filter === undefined ? {} : { filter }),
      };
      const found = await made.each(({ admin }) => admin.redrive(group, wanted));
      await made.terminal.rows(found, ["broker", "moved", "remaining"]);
    });
  const delayed = program.command("delayed").description("messages that wait");
  delayed
    .command("list", { isDefault: true })
    .option("--topic <topic>")
    .action(async ({ topic }: { topic?: string }) => {
      const made = session();
      const rows = await made.list((admin) => admin.delayed(topic));
      await made.terminal.rows(rows.map(withTimes), [
        "topic",
        "queue",
        "messageId",
        "deliverAt",
        "recallHandle",
      ]);
    });
  delayed
    .command("recall <handle>")
    .description("while it waits; again is fine")
    .action(async (handle: string) => {
      const path = `/v1/delayed/${encodeURIComponent(handle)}`;
      await (await session().one()).request("DELETE", path);
    });
  const transactions = program
    .command("transactions")
    .description("what was prepared, and how it ended");
  transactions
    .command("list", { isDefault: true })
    .option("--state <state>", "PREPARED, COMMITTED, ROLLED_BACK or DISCARDED")
    .option("--producer-group <group>")
    .action(async (query: { state?: TransactionFacts["state"]; producerGroup?: string }) => {
      const made = session();
      const rows = await made.list((admin) => admin.transactions(query));
      const columns = [
        "transactionId",
        "state",
        "topic",
        "queue",
        "offset",
        "producerGroup",
        "preparedAt",
      ];
      await made.terminal.rows(rows.map(withTimes), columns);
    });
  for (const verb of ["commit", "rollback", "revive"] as const)
    transactions.command(`${verb} <id>`).action(async (id: string) => {
      const made = session();
      const path = `/v1/transactions/${encodeURIComponent(id)}/${verb}`;
      await made.terminal.thing(await (await made.one()).request<object>("POST", path));
    });
}

function collect(value: string, before: readonly string[] = []): string[] {
  if (value === "") throw new UsageError("an option was given nothing");
  return [...before, value];
}
