/** Which queues of a topic each member consumes, by its client id. */
export type Assignment = Readonly<Record<string, readonly number[]>>;

/**
 * Shares queues among members as evenly as it can be done, moving as few as possible: every member keeps what it has up to
 * its share, and what is free goes to those who have less.
 */
export function assign(queues: number, members: readonly string[], before: Assignment): Assignment {
  const sorted = [...members].sort();
  const free = new Set(Array.from({ length: queues }, (_, queue) => queue));
  const least = Math.floor(queues / Math.max(1, sorted.length));
  // So many members have one more than the others: those who have more already.
  let larger = queues - least * sorted.length;
  const had = (member: string) => (before[member] ?? []).filter((queue) => queue < queues);
  const after = new Map<string, number[]>();
  for (const member of sorted.toSorted((a, b) => had(b).length - had(a).length)) {
    const share = least + (larger > 0 && had(member).length > least ? 1 : 0);
    if (share > least) larger--;
    const kept = had(member)
      .filter((queue) => free.has(queue))
      .slice(0, share);
    for (const queue of kept) free.delete(queue);
    after.set(member, kept);
  }
  for (const queue of free) {
    const poorest = sorted.reduce<string | undefined>((fewest, member) => {
      if (fewest === undefined) return member;
      return sizeOf(after, member) < sizeOf(after, fewest) ? member : fewest;
    }, undefined);
    if (poorest !== undefined) after.get(poorest)?.push(queue);
  }
  return Object.fromEntries(
    sorted.map((member) => [member, (after.get(member) ?? []).toSorted((a, b) => a - b)]),
  );
}

function sizeOf(after: ReadonlyMap<string, readonly number[]>, member: string): number {
  return after.get(member)?.length ?? 0;
}
