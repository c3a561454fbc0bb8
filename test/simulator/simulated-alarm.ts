import type { Alarm, AlarmId } from "../../src/broker/ports/alarm.ts";
import type { World } from "./world.ts";

/** The cell's alarm service: it outlives every broker, and rings whichever is there. */
export class SimulatedAlarm implements Alarm {
  readonly #world: World;
  readonly #ring: (id: AlarmId) => void;
  readonly #set = new Map<AlarmId, number>();
  #order = 0;

  constructor(world: World, ring: (id: AlarmId) => void) {
    this.#world = world;
    this.#ring = ring;
  }

  async set(id: AlarmId, at: number): Promise<void> {
    const world = this.#world;
    const { alarmLost, alarmTwice, alarmLate } = world.rates;
    const mine = ++this.#order;
    this.#set.set(id, mine);
    world.steps++;
    if (world.befalls("alarm lost", alarmLost)) return;
    const late = world.befalls("alarm late", alarmLate) ? world.dice.between(1_000, 300_000) : 0;
    const ring = () => {
      if (this.#set.get(id) === mine) this.#ring(id);
    };
    world.after(at - world.now + late, ring);
    if (world.befalls("alarm twice", alarmTwice))
      world.after(at - world.now + world.dice.between(0, 5_000), ring);
  }

  async cancel(id: AlarmId): Promise<void> {
    this.#set.delete(id);
  }
}
