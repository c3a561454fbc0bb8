/** What a broker has of a topic, and since when. */
export interface Claim {
  readonly broker: string;
  readonly queues: number;
  readonly writable: boolean;
  readonly shared: boolean;
  /** When a name server first granted it (ms). The broker tells it the others, and those that have forgotten. */
  readonly since: number;
}

/**
 * Who of those that claim a topic hold it. It belongs to the one who claimed it first, and he decides whether it is
 * shared: then all hold it who also say so. Name servers that hear of the same claims come to the same answer, in
 * whatever order they hear of them.
 */
export function holdersOf(claims: readonly Claim[]): Claim[] {
  const sorted = [...claims].sort((a, b) => a.since - b.since || (a.broker < b.broker ? -1 : 1));
  const [owner] = sorted;
  if (owner === undefined) return [];
  return owner.shared ? sorted.filter(({ shared }) => shared) : [owner];
}
