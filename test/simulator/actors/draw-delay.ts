import { type Delay, delayLevels } from "../../../src/broker/timers/delay.ts";
import { minuteOf, startOf } from "../../../src/broker/timers/timer.ts";
import type { Dice } from "../dice.ts";

const minute = 60_000;

/**
 * Delays around the spans that timers count with: passed or not, seconds, the end of a minute, the time at which minutes
 * that are over are given up, hours. Those far ahead lie in the first seconds of a minute, so that whoever is woken for
 * it delivers them soon. `ms`: how long it is from when the send is first tried, where that counts.
 */
export function drawDelay(dice: Dice, now: number): Delay & { readonly ms: number | undefined } {
  const at = (deliverAt: number) => ({ deliverAt, ms: undefined });
  const after = (ms: number) => ({ delayMs: ms, ms });
  const inMinute = (minutes: number) =>
    at(startOf(minuteOf(now) + minutes) + dice.between(0, 3_000));
  const kinds = [
    () => at(now - dice.between(0, dice.pick([1_000, minute, 60 * minute, 26 * 60 * minute]))),
    // Of the minute that is about to be given up, or was just.
    () => at(startOf(minuteOf(now - dice.pick([2, 3]) * minute)) + dice.between(0, minute - 1)),
    () => after(dice.between(0, 3_000)),
    () => after(dice.between(0, 20_000)),
    () => at(startOf(minuteOf(now) + 1) - dice.between(1, 500)),
    () => inMinute(dice.between(1, 4)),
    () => inMinute(dice.between(10, 15)),
    () => inMinute(dice.pick([60, 120])),
    () => {
      const delayLevel = dice.between(1, delayLevels.length);
      return { delayLevel, ms: delayLevels[delayLevel - 1] };
    },
  ];
  return dice.pick(kinds)();
}
