/** The limits of name servers. RocketMQ's, where it has one (NamesrvConfig, RouteInfoManager, BrokerConfig). */
export const nameServerLimits = {
  /** A process tells name servers of itself so often (ms): RocketMQ's registerNameServerPeriod. */
  beatMs: 30_000,
  /** What it could not tell one of them it tells again after this time (ms), so one that comes back soon knows all. */
  beatAgainMs: 2_000,
  /** A process that was not heard of for so long is stale (ms): RocketMQ's DEFAULT_BROKER_CHANNEL_EXPIRED_TIME, four beats. */
  leaseMs: 120_000,
  /** A longer lease is refused (ms). Cells that are woken by the clock, at most hourly, bring the longest. */
  leaseMsMax: 4 * 60 * 60_000,
  /**
   * A broker that has been stale for so long is forgotten (ms): the default retention, RocketMQ's fileReservedTime of 72 h.
   * By then nothing is left of what it held, so nobody waits for it.
   */
  forgetMs: 72 * 60 * 60_000,
  /** One that began so lately may not have heard of every broker (ms): a beat, and some for those that are late. */
  settleMs: 35_000,
  /** Topics of one broker: with names of 127 characters they fill an item of 400 KB to two thirds. */
  topicsPerBrokerMax: 2_000,
  /** Brokers that share a topic: as many as a store gets at once. */
  brokersPerTopicMax: 100,
} as const;
