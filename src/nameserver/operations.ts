import * as z from "zod";
import { given } from "../api/given.ts";
import { defineOperation, type Operation, type OperationContext } from "../api/operation.ts";
import { describeOf } from "../api/operations/describe.ts";
import { healthOf } from "../api/operations/health.ts";
import { routeAnswer, routeParams } from "../api/operations/routes.ts";
import { name, noneDropped, numberText } from "../api/schemas.ts";
import { limits } from "../broker/limits.ts";
import { nameServerLimits } from "./limits.ts";
import type { RegisteredBroker, Registry } from "./registry.ts";

type Context = OperationContext<Registry>;

const brokerParams = z.strictObject({ broker: name(limits.topicNameCharsMax) });

const brokerAnswer = z.object({
  name: z.string(),
  endpoint: z.string(),
  region: z.string().optional(),
  leaseMs: z.int(),
  renewedAt: z.int(),
  stale: z.boolean(),
});

const claimedTopic = z.strictObject({
  queues: z.int().min(1).max(limits.queuesPerTopicMax),
  writable: z.boolean().optional(),
  shared: z
    .boolean()
    .optional()
    .meta({ description: "Other brokers that say so, too, may have queues of it." }),
  since: z
    .int()
    .min(0)
    .optional()
    .meta({ description: "What a name server answered to an earlier registration." }),
});

export const registerBroker = defineOperation({
  name: "registerBroker",
  method: "PUT",
  path: "/v1/brokers/{broker}",
  summary:
    "Takes a broker in, or renews its lease. A topic belongs to the broker that registered it first; each is granted or refused by itself.",
  right: "admin",
  uses: ["readStore", "writeStore"],
  params: brokerParams,
  body: z.strictObject({
    endpoint: z.url({ protocol: /^https?$/, error: "an http or https URL" }),
    region: z.string().min(1).max(64).optional(),
    leaseMs: z
      .int()
      .min(0)
      .max(nameServerLimits.leaseMsMax)
      .optional()
      .meta({ description: "How long it counts as alive from now on. 0: it says that it goes." }),
    topics: noneDropped(z.record(name(limits.topicNameCharsMax), claimedTopic)),
  }),
  answers: {
    200: brokerAnswer.extend({
      topics: z.record(
        z.string(),
        z.union([
          z.object({ since: z.int() }),
          z.object({
            error: z.object({
              code: z.string(),
              message: z.string(),
              details: z.record(z.string(), z.unknown()),
            }),
          }),
        ]),
      ),
    }),
  },
  errors: ["contention"],
  async run({ broker: registry, io }: Context, { params, body }) {
    const { leaseMs = nameServerLimits.leaseMs, topics: claimed, ...facts } = body;
    const topics = Object.fromEntries(
      Object.entries(claimed).map(([topic, claim]) => [topic, given(claim)]),
    );
    const registered = await registry.register(io, {
      name: params.broker,
      leaseMs,
      topics,
      ...given(facts),
    });
    const results = [...registered.topics].map(([topic, granted]) => {
      if (!("error" in granted)) return [topic, granted];
      const { code, message, details } = granted.error;
      return [topic, { error: { code, message, details } }];
    });
    return {
      status: 200,
      json: { ...told(registered.broker, leaseMs === 0), topics: Object.fromEntries(results) },
    };
  },
});

export const removeBroker = defineOperation({
  name: "removeBroker",
  method: "DELETE",
  path: "/v1/brokers/{broker}",
  summary: "Forgets a broker and what it held, for good.",
  right: "admin",
  uses: ["readStore", "writeStore"],
  params: brokerParams,
  answers: { 204: null },
  errors: ["broker_not_found", "contention"],
  async run({ broker: registry, io }: Context, { params }) {
    await registry.remove(io, params.broker);
    return { status: 204 };
  },
});

export const listBrokers = defineOperation({
  name: "listBrokers",
  method: "GET",
  path: "/v1/brokers",
  summary: "The brokers in the order of their names, in pages. Stale: not heard of in their lease.",
  right: "route",
  uses: ["readStore"],
  query: z.strictObject({
    limit: numberText(1, 100).optional(),
    cursor: name(limits.topicNameCharsMax).optional(),
  }),
  answers: {
    200: z.object({
      brokers: z.array(brokerAnswer.extend({ topics: z.array(z.string()) })),
      nextCursor: z.string().optional(),
    }),
  },
  errors: [],
  async run({ broker: registry, io }: Context, { query }) {
    const { brokers, next } = await registry.list(io, {
      after: query.cursor,
      limit: query.limit ?? 100,
    });
    const json = brokers.map((one) => ({ ...told(one, one.stale), topics: one.topics }));
    return { status: 200, json: { brokers: json, nextCursor: next } };
  },
});

export const getRouteOfAll = defineOperation({
  name: "getRoute",
  method: "GET",
  path: "/v1/routes/{topic}",
  summary: "Where the queues of a topic are, at all brokers that hold it.",
  right: "route",
  uses: ["readStore"],
  params: routeParams,
  answers: { 200: routeAnswer },
  errors: ["topic_not_found", "not_ready"],
  async run({ broker: registry, io }: Context, { params }) {
    return { status: 200, json: await registry.route(io, params.topic) };
  },
});

const table: readonly Operation<Registry>[] = [
  registerBroker,
  removeBroker,
  listBrokers,
  getRouteOfAll,
  healthOf(["brokers", "routes"]),
];

/** Everything that a name server can be asked. */
export const nameServerOperations: readonly Operation<Registry>[] = [
  ...table,
  describeOf(table, "Tasso name server"),
];

function told(broker: RegisteredBroker, stale: boolean) {
  const { name: brokerName, endpoint, region, leaseMs, renewedAt } = broker;
  return { name: brokerName, endpoint, region, leaseMs, renewedAt, stale };
}
