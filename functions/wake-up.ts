/** What the clock of the stack sends to the on-alarm function, whether or not an alarm was set. */
export const periodicSweep = { sweep: true } as const;
