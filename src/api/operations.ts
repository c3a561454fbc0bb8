import type { Operation } from "./operation.ts";
import { listDeadLetters, redrive } from "./operations/dead-letters.ts";
import { listDelayed } from "./operations/delayed.ts";
import { describeOf } from "./operations/describe.ts";
import { forward } from "./operations/forward.ts";
import { commitOffsets, getLag, getOffsets, resetOffsets } from "./operations/group-offsets.ts";
import {
  changeGroup,
  createGroup,
  deleteGroup,
  getGroup,
  listGroups,
} from "./operations/groups.ts";
import { health } from "./operations/health.ts";
import { heartbeat, leave, listMembers, poll } from "./operations/members.ts";
import { getMessage, pull, pullBatches } from "./operations/pull.ts";
import { ack, extend, nack, receive } from "./operations/receive.ts";
import { getRoute } from "./operations/routes.ts";
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
import {
  changeProducerGroup,
  getProducerGroup,
  listTransactions,
  reviveTransaction,
} from "./operations/transactions.ts";
import { sendOperations } from "./send-operations.ts";
import { transactOperations } from "./transact-operations.ts";

const table: readonly Operation[] = [
  createTopic,
  changeTopic,
  listTopics,
  getTopic,
  deleteTopic,
  sealTopic,
  getRoute,
  ...sendOperations,
  ...transactOperations,
  pull,
  pullBatches,
  getMessage,
  getOffsetAt,
  searchTopic,
  createGroup,
  changeGroup,
  listGroups,
  getGroup,
  deleteGroup,
  listMembers,
  heartbeat,
  leave,
  poll,
  receive,
  ack,
  nack,
  extend,
  forward,
  listDeadLetters,
  redrive,
  commitOffsets,
  getOffsets,
  getLag,
  resetOffsets,
  listDelayed,
  listTransactions,
  reviveTransaction,
  changeProducerGroup,
  getProducerGroup,
  health,
];

/** Everything that a broker can be asked. Fronts, descriptions and policies loop over this table. */
export const operations: readonly Operation[] = [...table, describeOf(table)];
