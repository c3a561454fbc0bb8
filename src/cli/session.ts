import { readFileSync } from "node:fs";
import { Connection } from "../client/connection.ts";
import { Admin, type ClientOptions, isTassoError, type TassoError } from "../client/index.ts";
import { UsageError } from "./exit-codes.ts";
import { Terminal } from "./terminal.ts";

/** The options that every command takes. */
export interface GlobalOptions {
  readonly broker?: readonly string[];
  readonly nameServers?: string;
  readonly tokenFile?: string;
  readonly timeoutMs?: string;
  readonly json?: boolean;
  readonly progress?: boolean;
}

export interface NamedBroker {
  readonly name: string;
  readonly endpoint: string;
  readonly admin: Admin;
}

const brokerDefault = "http://127.0.0.1:1290";

/** What a command works with: where brokers are, who calls, and where it writes. */
export class Session {
  readonly terminal: Terminal;
  readonly client: ClientOptions;
  readonly token: string | undefined;
  readonly connection: Connection;

  constructor(options: GlobalOptions) {
    const { broker = [], nameServers, tokenFile, json = false, progress = false } = options;
    if (broker.length > 0 && nameServers !== undefined)
      throw new UsageError("--broker and --name-servers exclude each other");
    this.terminal = new Terminal({ json, progress });
    this.token = tokenFile === undefined ? undefined : readToken(tokenFile);
    this.client = {
      ...(nameServers === undefined
        ? { brokers: broker.length > 0 ? broker : [brokerDefault] }
        : { nameServers: nameServers.split(",") }),
      ...(this.token === undefined ? {} : { token: this.token }),
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: wholeNumber(options.timeoutMs) }),
    };
    this.connection = new Connection(this.client);
  }

  /** All brokers: those that were given, or those that a name server knows and that are not stale. */
  async brokers(): Promise<NamedBroker[]> {
    const { brokers = [], nameServers = [] } = this.client;
    if (brokers.length > 0) return brokers.map((url) => this.#named(url, url));
    const errors: unknown[] = [];
    for (const url of nameServers) {
      try {
        const admin = this.admin(url);
        const { brokers: known } = await admin.request<{
          brokers: { name: string; endpoint: string; stale: boolean }[];
        }>("GET", "/v1/brokers");
        return known
          .filter(({ stale }) => !stale)
          .map((one) => this.#named(one.name, one.endpoint));
      } catch (error) {
        errors.push(error);
      }
    }
    throw errors[0];
  }

  /** Asks every broker. What one does not know is told as an error only if no broker knows it. */
  async each<T>(ask: (broker: NamedBroker) => Promise<T>): Promise<(T & { broker: string })[]> {
    const brokers = await this.brokers();
    const answers = await Promise.allSettled(brokers.map(ask));
    const found = answers.flatMap((answer, at) =>
      answer.status === "fulfilled" ? [{ ...answer.value, broker: brokers[at]?.name ?? "" }] : [],
    );
    const errors = answers.flatMap((answer) =>
      answer.status === "rejected" ? [answer.reason] : [],
    );
    const serious = errors.find((error) => !isNotFound(error));
    if (serious !== undefined) throw serious;
    if (found.length === 0 && errors.length > 0) throw errors[0];
    return found;
  }

  /** The lists of all brokers, one behind the other; each row says of which broker it is. */
  async list<T extends object>(ask: (admin: Admin) => AsyncIterable<T>): Promise<object[]> {
    const lists = await this.each(async ({ admin }) => {
      const rows: T[] = [];
      for await (const row of ask(admin)) rows.push(row);
      return { rows };
    });
    const several = lists.length > 1;
    return lists.flatMap(({ rows, broker }) =>
      rows.map((row) => (several ? { broker, ...row } : row)),
    );
  }

  /** The one broker that a change is made at. */
  async one(): Promise<Admin> {
    const brokers = await this.brokers();
    const [first] = brokers;
    if (first === undefined || brokers.length > 1)
      throw new UsageError(
        `this changes one broker: choose one of ${brokers.map(({ endpoint }) => endpoint).join(", ")} with --broker`,
      );
    return first.admin;
  }

  admin(url: string): Admin {
    const { nameServers: _, ...client } = this.client;
    return new Admin({ ...client, brokers: [url] });
  }

  #named(name: string, endpoint: string): NamedBroker {
    return { name, endpoint, admin: this.admin(endpoint) };
  }
}

function isNotFound(error: unknown): error is TassoError {
  return isTassoError(error) && error.code.endsWith("_not_found");
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").split("\n")[0]?.trim() ?? "";
  } catch (cause) {
    throw new UsageError(`--token-file ${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

export function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new UsageError(`"${text}" must be a whole number`);
}

/** Milliseconds since the epoch, or ISO 8601. */
export function instantIn(text: string): number {
  const at = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(at))
    throw new UsageError(`"${text}" must be milliseconds since the epoch, or ISO 8601`);
  return at;
}
