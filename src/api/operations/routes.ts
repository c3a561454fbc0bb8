import * as z from "zod";
import { BrokerError } from "../../broker/errors.ts";
import { limits } from "../../broker/limits.ts";
import { routeOf } from "../../broker/topics/route.ts";
import { defineOperation } from "../operation.ts";
import { name } from "../schemas.ts";

export const routeParams = z.strictObject({ topic: name(limits.topicNameCharsMax) });

export const routeAnswer = z.object({
  topic: z.string(),
  queues: z
    .array(z.object({ broker: z.string(), queue: z.int(), permission: z.enum(["rw", "r"]) }))
    .meta({ description: "By the name of the broker, then by number." }),
  brokers: z.array(
    z.object({
      name: z.string(),
      endpoint: z.string(),
      region: z.string().optional(),
      stale: z.boolean().optional().meta({ description: "It has not been heard of in its lease." }),
    }),
  ),
  version: z.string().meta({ description: "Another one whenever the rest is another." }),
});

/** What a name server tells of all brokers, told by a broker of itself. */
export const getRoute = defineOperation({
  name: "getRoute",
  method: "GET",
  path: "/v1/routes/{topic}",
  summary: "Where the queues of a topic are: here, all of them.",
  right: "route",
  uses: ["readStore"],
  params: routeParams,
  answers: { 200: routeAnswer },
  errors: ["route_not_found", "topic_not_found"],
  async run({ broker, io }, { params }) {
    const { identity } = broker;
    if (identity === undefined)
      throw new BrokerError(
        "route_not_found",
        "this broker was not told where others reach it: whoever asks it is at the right place",
        { field: "path", given: "a route", allowed: "GET /v1/topics/{topic}" },
      );
    const { queues, writable } = await broker.topics.get(io, params.topic);
    return {
      status: 200,
      json: routeOf(params.topic, [{ ...identity, queues, writable }]),
    };
  },
});
