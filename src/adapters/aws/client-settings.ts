/**
 * How every client of AWS here is set up. The SDK's own retries are off: it repeats writes without knowing whether the
 * first one took effect, and after the instant at which nobody counts with it any more. `Attempts` repeats instead.
 */
export const clientSettings = {
  maxAttempts: 1,
  requestHandler: { connectionTimeout: 1_900, httpsAgent: { maxSockets: 256 } },
} as const;
