/** A port call that surely had no effect: the service could not be reached, refused for load, or is shutting down. Trying again is safe. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** Stored bytes failed a check. The bytes stay as they are; `what` names the kind of thing, never its content. */
export class Damaged extends Error {
  override readonly name = "Damaged";
  readonly what: string;

  constructor(what: string, options?: ErrorOptions) {
    super(`${what} failed its check`, options);
    this.what = what;
  }
}
