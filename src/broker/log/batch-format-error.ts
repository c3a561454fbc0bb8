/** Bytes that are no batch. `field` says where in the layout, `allowed` what should stand there. */
export class BatchFormatError extends Error {
  override readonly name = "BatchFormatError";
  readonly field: string;
  readonly given: unknown;
  readonly allowed: string;

  constructor(field: string, given: unknown, allowed: string, options?: ErrorOptions) {
    super(`${field} must be ${allowed}`, options);
    this.field = field;
    this.given = given;
    this.allowed = allowed;
  }
}
