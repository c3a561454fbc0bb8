import { readFile } from "node:fs/promises";

/** `getconf CLK_TCK`: what /proc counts CPU time in. 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** CPU time of all threads of a process so far, user and system (s). */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  // The name, in parentheses, may hold spaces; the times are fields 14 and 15, the name is field 2.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Memory that a process holds and that no file backs (bytes): the pages of LMDB's map are not among it. */
export async function anonymousBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "latin1");
  const kilobytes = /^RssAnon:\s*(\d+) kB$/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} does not tell its memory`);
  return Number(kilobytes) * 1_024;
}
