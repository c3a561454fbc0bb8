import { CommanderError } from "commander";
import { isTassoError } from "../client/index.ts";
import { runNameServer } from "../nameserver/run.ts";
import { exitCodeOf, exitCodes } from "./exit-codes.ts";
import { programOf } from "./program.ts";

/** Commands that change nothing: what they ask for has no unknown outcome. */
const readers = ["list", "show", "members", "lag", "tail", "doctor"];

async function run(args: readonly string[]): Promise<number> {
  if (args[0] === "nameserver") return await runNameServer(args.slice(1));
  let code: number = exitCodes.done;
  const program = programOf((ended) => {
    code = ended;
  });
  let command = "";
  program.hook("preAction", (_, action) => {
    command = action.name();
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError)
      return error.exitCode === 0 ? exitCodes.done : exitCodes.wrongUsage;
    const ended = exitCodeOf(error, { changes: !readers.includes(command) });
    const unknown =
      ended === exitCodes.outcomeUnknown ? " (it may have been done all the same)" : "";
    process.stderr.write(`tasso: ${toldOf(error)}${unknown}\n`);
    return ended;
  }
}

function toldOf(error: unknown): string {
  return isTassoError(error) ? `${error.code}: ${error.message}` : (error as Error).message;
}

// Whoever reads may stop reading: `tasso tail orders | head`.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? exitCodes.done : exitCodes.failed);
});
process.exitCode = await run(process.argv.slice(2));
