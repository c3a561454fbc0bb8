import * as z from "zod";
import { expectQueue } from "../../broker/topics/queue-choice.ts";
import { defineOperation } from "../operation.ts";
import { instantText, queueParams } from "../schemas.ts";

export const getOffsetAt = defineOperation({
  name: "getOffsetAt",
  method: "GET",
  path: "/v1/topics/{topic}/queues/{queue}/offset",
  summary:
    "The offset of the first message that was stored at or after an instant of broker time; the queue's max where there is none.",
  right: "pull",
  uses: ["readStore", "readBlobs"],
  params: queueParams,
  query: z.strictObject({ at: instantText }),
  answers: { 200: z.object({ offset: z.int() }) },
  errors: ["topic_not_found", "queue_not_found", "corrupt"],
  async run({ broker, io }, { params, query }) {
    const topic = await broker.topics.get(io, params.topic);
    expectQueue(topic, params.queue);
    const id = { topicId: topic.id, queue: params.queue };
    return { status: 200, json: { offset: await broker.log.offsetAt(io, id, query.at) } };
  },
});
