import * as z from "zod";
import { openApi } from "../openapi.ts";
import {
  type Described,
  defineOperation,
  type HasPorts,
  type Operation,
  type OperationContext,
} from "../operation.ts";

/** The operation that tells about all the others, made from their table. */
export function describeOf(operations: readonly Described[], title?: string): Operation<HasPorts> {
  return defineOperation({
    name: "describe",
    method: "GET",
    path: "/openapi.json",
    summary: "This description.",
    right: "none",
    uses: [],
    answers: { 200: z.object({}) },
    errors: [],
    async run(_: OperationContext<HasPorts>) {
      return { status: 200, json: openApi(operations, title) };
    },
  });
}
