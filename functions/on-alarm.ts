import { AlarmRinger } from "../src/adapters/aws/alarm-ringer.ts";
import { isWaking } from "../src/adapters/aws/wakings.ts";
import { Broker } from "../src/broker/broker.ts";
import { metered, Usage } from "../src/broker/metering.ts";
import { awsPorts, logOnAws } from "./aws-ports.ts";
import { Conflicts } from "./conflicts.ts";
import { logError, logMetrics } from "./log.ts";
import { readSettings } from "./settings.ts";
import { sweepOnce } from "./sweep.ts";

const name = "on-alarm";
const settings = readSettings();
const conflicts = new Conflicts();
const ports = awsPorts(settings);
const broker = new Broker({ ...ports, store: conflicts.in(ports.store) }, logOnAws);

/** Rings an alarm at its instant, or sweeps because it is time to. Fails where that failed, so that Lambda calls again. */
export async function handler(event: unknown): Promise<void> {
  const usage = new Usage();
  const io = metered(broker.ports, usage);
  let workLeft = false;
  const sweep = async () => {
    workLeft = await sweepOnce(broker, io);
  };
  const began = Date.now();
  try {
    const rung = isWaking(event)
      ? await new AlarmRinger({ ...io, ring: sweep }).wake(event)
      : await sweep();
    logMetrics(
      { service: settings.service, function: name },
      {
        ...(rung === undefined ? {} : { latenessMs: rung.latenessMs }),
        workLeft: workLeft ? 1 : 0,
        conflicts: conflicts.take(),
        writeUnits: usage.writeUnits,
        readUnits: usage.readUnits,
      },
      { ms: Date.now() - began },
    );
  } catch (error) {
    logError(error, { function: name, event });
    throw error;
  }
}
