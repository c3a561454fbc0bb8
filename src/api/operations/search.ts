import * as z from "zod";
import { limits } from "../../broker/limits.ts";
import { search } from "../../broker/searching/search.ts";
import { messageToJson } from "../message-json.ts";
import { defineOperation } from "../operation.ts";
import { instantText, messageOut, numberText, topicParams } from "../schemas.ts";

export const searchTopic = defineOperation({
  name: "searchTopic",
  method: "GET",
  path: "/v1/topics/{topic}/search",
  summary:
    "Messages by key or id, stored at or after `from` and before `to`. Each answer is of a bounded part: all queues below the one in `scannedTo`, and that one up to its offset, were looked through. `nextCursor` goes on; without it all was.",
  right: "pull",
  uses: ["readStore", "readBlobs"],
  params: topicParams,
  query: z.strictObject({
    key: z.string().min(1).max(limits.propertyBytesMax).optional(),
    messageId: z.string().min(1).max(limits.messageIdBytesMax).optional(),
    from: instantText.optional(),
    to: instantText.optional(),
    limit: numberText(1, limits.searchMessagesMax).optional(),
    cursor: z.string().optional(),
  }),
  answers: {
    200: z.object({
      messages: z.array(messageOut),
      damaged: z
        .array(z.object({ queue: z.int(), from: z.int(), to: z.int() }))
        .optional()
        .meta({ description: "Messages that cannot be read: from one offset up to another." }),
      scannedTo: z.object({ queue: z.int(), offset: z.int() }),
      nextCursor: z.string().optional(),
    }),
  },
  errors: ["topic_not_found", "queue_not_found", "corrupt"],
  async run({ broker, io }, { params, query }) {
    const { topic } = params;
    const { limit = limits.searchMessagesMax } = query;
    const page = await search(io, broker, { ...query, topic, limit });
    const { found, damaged, scannedTo, nextCursor } = page;
    const messages = found.map((message) =>
      messageToJson(message, { topic, queue: message.queue }),
    );
    return {
      status: 200,
      json: {
        messages,
        damaged: damaged.length > 0 ? damaged : undefined,
        scannedTo,
        nextCursor,
      },
    };
  },
});
