/** A bug in the program, not an error of its caller or its surroundings. It is logged and answered as `internal`; nobody catches it to go on. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

/** Throws {@link InvariantViolation} unless `holds`. Stays on in production. */
export function assert(holds: boolean, message: string): asserts holds {
  if (!holds) throw new InvariantViolation(message);
}
