/** One line of JSON an error, with what caused it down to the first cause. */
export function logError(error: unknown, requestId?: string): void {
  const { name, message, stack } = error as Error;
  const causes = [...causesOf(error)].map(String);
  const at = new Date().toISOString();
  process.stderr.write(`${JSON.stringify({ at, requestId, name, message, causes, stack })}\n`);
}

function* causesOf(error: unknown): Generator<unknown> {
  for (let cause = (error as Error).cause; cause !== undefined; cause = (cause as Error).cause) {
    yield cause;
  }
}
