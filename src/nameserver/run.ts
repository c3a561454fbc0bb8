import { SettingsError } from "../local/settings-error.ts";
import { startNameServer } from "./process.ts";
import { nameServerUsage, readNameServerSettings } from "./settings.ts";

/** Runs a name server until it is asked to end. Answers the exit code. */
export async function runNameServer(args: readonly string[]): Promise<number> {
  let settings: ReturnType<typeof readNameServerSettings>;
  try {
    settings = readNameServerSettings(args);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    process.stderr.write(`tasso: ${error.message}\n\n${nameServerUsage}\n`);
    return 2;
  }
  if (settings === undefined) {
    process.stdout.write(`${nameServerUsage}\n`);
    return 0;
  }
  const stopped = new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  const { host, port } = settings;
  try {
    const server = await startNameServer(settings);
    process.stdout.write(`tasso name server listens on ${server.url}\n`);
    await stopped;
    await server.close();
    return 0;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const taken = `port ${port} of ${host} is taken; choose another with --port, or 0 for any`;
    process.stderr.write(`tasso: ${code === "EADDRINUSE" ? taken : message}\n`);
    return 1;
  }
}
