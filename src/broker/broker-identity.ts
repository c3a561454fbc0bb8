/** How a broker is called and where it is reached, as it tells name servers and those who ask it for a route. */
export interface BrokerIdentity {
  /** Tells it from all other brokers that a topic may be spread over: message groups are spread in the order of names. */
  readonly name: string;
  /** What a client takes as base URL, without a slash at its end. */
  readonly endpoint: string;
  readonly region?: string;
}
