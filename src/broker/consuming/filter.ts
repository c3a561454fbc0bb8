import { utf8 } from "../bytes.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Message } from "../log/message.ts";

/** Which messages of a topic a group wants. */
export interface Filter {
  /** The expression in its one form, so that equal filters are equal texts. */
  readonly text: string;
  wants(message: Message): boolean;
}

const all: Filter = { text: "*", wants: () => true };

/**
 * Reads a filter expression: `*`, or tags as in `a || b`. A message without a tag is wanted by `*` alone. SQL, which begins
 * with `sql:`, is not there yet and is refused.
 */
export function parseFilter(text: string, field: string): Filter {
  const allowed = `* or tags as in "a || b", at most ${limits.filterBytesMax} bytes`;
  if (utf8(text).length > limits.filterBytesMax || text.startsWith("sql:"))
    throw invalid(field, text, allowed);
  const tags = text.split("||").map((tag) => tag.trim());
  if (tags.some((tag) => tag === "" || tag.includes("|"))) throw invalid(field, text, allowed);
  if (tags.includes("*")) return all;
  const wanted = new Set(tags.sort());
  return {
    text: [...wanted].join(" || "),
    wants: ({ tag }) => tag !== undefined && wanted.has(tag),
  };
}

/** Of two receivers of one group with different filters each would lose what the other is given. */
export function filterConflict(topic: string, given: string, current: string): BrokerError {
  return new BrokerError(
    "filter_conflict",
    `the group's filter for topic ${topic} is another; change the group to change it for everybody`,
    { field: "filter", given, allowed: current, current, topic },
  );
}
