/** Randomness, passed in so that the simulator can own it. Fit for ids, so cryptographically strong outside tests. */
export interface Random {
  bytes(length: number): Uint8Array;
}
