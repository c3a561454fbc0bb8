import { isTassoError } from "../../client/index.ts";
import type { NamedBroker, Session } from "../session.ts";

interface Finding {
  readonly where: string;
  readonly check: string;
  readonly ok: boolean;
  readonly found: string;
}

/** By how much clocks may differ: the broker allows for 500 ms on either side of a timer. */
const clockErrorMsMax = 500;

/** Looks whether brokers and name servers answer, agree on the time, and have work that nobody does. */
export async function doctor(session: Session): Promise<boolean> {
  const findings: Finding[] = [];
  for (const url of session.client.nameServers ?? [])
    findings.push(...(await nameServer(session, url)));
  const brokers = await session.brokers().catch((error) => {
    findings.push({ where: "brokers", check: "known", ok: false, found: toldOf(error) });
    return [];
  });
  for (const broker of brokers) findings.push(...(await brokerFindings(broker, session.token)));
  await session.terminal.rows(findings, ["where", "check", "ok", "found"]);
  return findings.every(({ ok }) => ok);
}

async function nameServer(session: Session, url: string): Promise<Finding[]> {
  try {
    const { brokers } = await session.admin(url).request<{
      brokers: { name: string; stale: boolean }[];
    }>("GET", "/v1/brokers");
    return [
      { where: url, check: "answers", ok: true, found: `${brokers.length} brokers` },
      ...brokers.map(({ name, stale }) => ({
        where: url,
        check: `broker ${name}`,
        ok: !stale,
        found: stale ? "stale: not heard of in its lease" : "alive",
      })),
    ];
  } catch (error) {
    return [{ where: url, check: "answers", ok: false, found: toldOf(error) }];
  }
}

async function brokerFindings(
  { name, endpoint, admin }: NamedBroker,
  token: string | undefined,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const find = (check: string, ok: boolean, found: string) =>
    findings.push({ where: name, check, ok, found });
  try {
    const sentAt = Date.now();
    const answer = await fetch(`${endpoint}/v1/health`, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    const { version } = (await answer.json()) as { version?: string };
    find("answers", answer.ok, `version ${version}, after ${Date.now() - sentAt} ms`);
    const told = Number(answer.headers.get("x-broker-time"));
    // It was told somewhere between the two.
    const apart = Math.max(0, sentAt - told, told - Date.now());
    find("clock", apart <= clockErrorMsMax, `${apart} ms apart`);
  } catch (error) {
    find("answers", false, (error as Error).message);
    return findings;
  }
  try {
    for await (const { topic, writable } of admin.topics())
      if (!writable) find(`topic ${topic}`, true, "takes no messages");
    for await (const { group, topics, paused } of admin.groups()) {
      if (paused) find(`group ${group}`, false, "is paused");
      for (const topic of topics) {
        const { total } = await admin.lag(group, topic);
        const { members } = await admin.request<{ members: object[] }>(
          "GET",
          `/v1/groups/${group}/members`,
        );
        const stands = total > 0 && members.length === 0;
        find(`lag of ${group} in ${topic}`, !stands, `${total}, ${members.length} members`);
      }
    }
  } catch (error) {
    find("topics and groups", false, toldOf(error));
  }
  return findings;
}

function toldOf(error: unknown): string {
  return isTassoError(error) ? `${error.code}: ${error.message}` : String(error);
}
