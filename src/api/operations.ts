import type { Operation } from "./operation.ts";
import { listDelayed } from "./operations/delayed.ts";
import { describeOf } from "./operations/describe.ts";
import { commitOffsets, getLag, getOffsets } from "./operations/group-offsets.ts";
import { health } from "./operations/health.ts";
import { getMessage, pull, pullBatches } from "./operations/pull.ts";
import { searchTopic } from "./operations/search.ts";
import { getOffsetAt } from "./operations/seek.ts";
import {
  changeTopic,
  createTopic,
  deleteTopic,
  getTopic,
  listTopics,
  sealTopic,
} from "./operations/topics.ts";
import { sendOperations } from "./send-operations.ts";

const table: readonly Operation[] = [
  createTopic,
  changeTopic,
  listTopics,
  getTopic,
  deleteTopic,
  sealTopic,
  ...sendOperations,
  pull,
  pullBatches,
  getMessage,
  getOffsetAt,
  searchTopic,
  commitOffsets,
  getOffsets,
  getLag,
  listDelayed,
  health,
];

/** Everything that a broker can be asked. Fronts, descriptions and policies loop over this table. */
export const operations: readonly Operation[] = [...table, describeOf(table)];
