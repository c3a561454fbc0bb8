import * as z from "zod";
import { openApi } from "../openapi.ts";
import { defineOperation, type Operation } from "../operation.ts";

/** The operation that tells about all the others, made from their table. */
export function describeOf(operations: readonly Operation[]): Operation {
  return defineOperation({
    name: "describe",
    method: "GET",
    path: "/openapi.json",
    summary: "This description.",
    right: "none",
    uses: [],
    answers: { 200: z.object({}) },
    errors: [],
    async run() {
      return { status: 200, json: openApi(operations) };
    },
  });
}
