import type { Context } from "aws-lambda";
import { AlarmRinger } from "../src/adapters/aws/alarm-ringer.ts";
import { isWaking } from "../src/adapters/aws/wakings.ts";
import { preparedToJson } from "../src/api/message-json.ts";
import { Broker, isForSweep } from "../src/broker/broker.ts";
import { metered, Usage } from "../src/broker/metering.ts";
import type { AlarmId } from "../src/broker/ports/alarm.ts";
import { Registrar } from "../src/nameserver/registrar.ts";
import { awsPorts, logOnAws } from "./aws-ports.ts";
import { Conflicts } from "./conflicts.ts";
import { logError, logMetrics } from "./log.ts";
import { readCredentials, readIdentity, readRegistration, readSettings } from "./settings.ts";
import { sweepOnce } from "./sweep.ts";
import { webhooksOf } from "./webhooks.ts";

const name = "on-alarm";
const settings = readSettings();
const conflicts = new Conflicts();
const ports = awsPorts(settings, webhooksOf(settings));
const broker = new Broker({ ...ports, store: conflicts.in(ports.store) }, logOnAws);
const onError = (error: unknown) => logError(error, { function: name });
broker.walker.delivery.onDamaged = onError;
broker.webhookChecks.onError = onError;
broker.webhookChecks.describe = preparedToJson;

const identity = readIdentity();
const registration = readRegistration();
const registrar =
  identity === undefined || registration.nameServers.length === 0
    ? undefined
    : new Registrar({
        broker,
        identity,
        ...registration,
        send: async (url, request) => {
          const { signedSend } = await import("../src/adapters/aws/signed-send.ts");
          const { region = "" } = identity;
          return signedSend({ region, credentials: readCredentials() })(url, request);
        },
        onError: (error) => logError(error, { function: name }),
      });

/** Whoever walks a minute ends so long before Lambda would end him. */
const timeLeftMsMin = 10_000;

/**
 * Rings an alarm at its instant: walks a minute of delayed messages, or sweeps. Also sweeps because it is time to. Fails
 * where that failed, so that Lambda calls again.
 */
export async function handler(event: unknown, context: Context): Promise<void> {
  const usage = new Usage();
  const io = metered(broker.ports, usage);
  const began = Date.now();
  const until = began + context.getRemainingTimeInMillis() - timeLeftMsMin;
  let messages = 0;
  let latenessMs = 0;
  broker.walker.delivery.onDelivered = (ms) => {
    messages++;
    latenessMs = Math.max(latenessMs, ms);
  };
  let workLeft = false;
  const sweep = async () => {
    workLeft = await sweepOnce(broker, io);
  };
  const sweepAndBeat = async () => {
    await sweep();
    await registrar?.beat(io);
  };
  const ring = (alarm: AlarmId) =>
    isForSweep(alarm) ? sweep() : broker.ring(io, alarm, { until, onError });
  try {
    const rung = isWaking(event)
      ? await new AlarmRinger({ ...io, ring }).wake(event)
      : await sweepAndBeat();
    if (rung !== undefined) latenessMs = Math.max(latenessMs, rung.latenessMs);
    logMetrics(
      { service: settings.service, function: name },
      {
        messages,
        ...(messages === 0 && rung === undefined ? {} : { latenessMs }),
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
