import type { TracingChannel } from "node:diagnostics_channel";

type Channels = typeof import("node:diagnostics_channel");

/** Node, Deno and Bun have it; elsewhere nothing is traced. Nothing is imported, so that bundlers find no Node module. */
const host = globalThis as {
  readonly process?: { readonly getBuiltinModule?: (id: string) => Channels | undefined };
};
const channels = host.process?.getBuiltinModule?.("node:diagnostics_channel");
const made = new Map<string, TracingChannel>();

/**
 * Runs under the tracing channel `tasso:{operation}`: its subscribers see start, end, asyncStart, asyncEnd and error, with
 * the context, and `result` or `error` in it.
 */
export function traced<T>(operation: string, context: object, run: () => Promise<T>): Promise<T> {
  const channel = channelOf(operation);
  if (channel === undefined || !hasSubscribers(channel)) return run();
  return channel.tracePromise(run, { ...context, operation });
}

function channelOf(operation: string): TracingChannel | undefined {
  if (channels?.tracingChannel === undefined) return undefined;
  const known = made.get(operation) ?? channels.tracingChannel(`tasso:${operation}`);
  made.set(operation, known);
  return known;
}

/** A tracing channel tells this by itself only in later versions of Node. */
function hasSubscribers({ start, end, asyncStart, asyncEnd, error }: TracingChannel): boolean {
  return [start, end, asyncStart, asyncEnd, error].some((channel) => channel.hasSubscribers);
}
