/** A system call as strace wrote it down. `begin` and `end` are line numbers: strace sees one stop of one thread at a time, so the order of its lines is the order of what happened. */
export interface SystemCall {
  readonly name: string;
  /** The descriptor it was made on, with what that leads to, as in `19</data/store.mdb>`. */
  readonly on: string;
  readonly text: string;
  readonly result: number;
  readonly begin: number;
  readonly end: number;
}

const whole = /^(\d+) +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)/s;
const begun = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/s;
const resumed = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+|0x[0-9a-f]+|\?)/s;

/** The calls in what `strace -f -y` wrote, in the order of their ends. A call that never returned is left out. */
export function parseTrace(trace: string): SystemCall[] {
  const calls: SystemCall[] = [];
  const open = new Map<string, { readonly text: string; readonly begin: number }>();
  for (const [line, written] of trace.split("\n").entries()) {
    const start = begun.exec(written);
    if (start !== null) {
      open.set(`${start[1]} ${start[2]}`, { text: start[3] ?? "", begin: line });
      continue;
    }
    const [, thread, name = "", rest = "", result = ""] =
      whole.exec(written) ?? resumed.exec(written) ?? [];
    if (name === "") continue;
    const first = open.get(`${thread} ${name}`);
    open.delete(`${thread} ${name}`);
    const text = (first?.text ?? "") + rest;
    const on = /^\d+<[^>]*>/.exec(text)?.[0] ?? "";
    calls.push({ name, on, text, result: Number(result), begin: first?.begin ?? line, end: line });
  }
  return calls;
}
