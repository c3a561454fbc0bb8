/** Those who want something to themselves for a while, one after the other. */
export class Holds {
  readonly #waiting: ((release: () => void) => void)[] = [];

  get areWanted(): boolean {
    return this.#waiting.length > 0;
  }

  /** Resolves once it is the caller's, with how to let go of it. */
  ask(): Promise<() => void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Leaves it to the next one, if any, until that one lets go of it. */
  async grant(): Promise<void> {
    const next = this.#waiting.shift();
    if (next !== undefined) await new Promise<void>((release) => next(release));
  }
}
