import * as z from "zod";
import { errorTable } from "../broker/errors.ts";
import { batchesType, batchType, type Described } from "./operation.ts";
import { version } from "./operations/health.ts";
import { errorBody } from "./schemas.ts";

/** The description of the API, from the schemas that validate requests (OpenAPI 3.1, whose schemas are JSON Schema 2020-12). */
export function openApi(operations: readonly Described[], title = "Tasso"): object {
  const paths: Record<string, Record<string, PathOperation>> = {};
  for (const operation of operations) {
    const methods = paths[operation.path] ?? {};
    paths[operation.path] = methods;
    const method = operation.method.toLowerCase();
    const described = describe(operation);
    const sibling = methods[method];
    methods[method] = sibling === undefined ? described : merge(sibling, described);
  }
  return {
    openapi: "3.1.0",
    info: { title, version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    paths,
    components: { schemas: { Error: jsonSchema(errorBody, "output") } },
  };
}

type Content = Record<string, { schema: object }>;

interface PathOperation {
  operationId: string;
  summary: string;
  "x-right": string;
  parameters: readonly { name: string; in: string }[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, { description: string; content?: Content }>;
}

function describe(operation: Described): PathOperation {
  const { name, summary, right, consumes, produces, body, answers, errors } = operation;
  const requested =
    consumes === batchType
      ? binary(batchType)
      : body === undefined
        ? undefined
        : json(body, "input");
  const responses: PathOperation["responses"] = {};
  for (const [status, schema] of Object.entries(answers)) {
    const content =
      produces === batchesType
        ? binary(batchesType)
        : schema === null
          ? undefined
          : json(schema, "output");
    responses[status] = { description: summary, ...(content === undefined ? {} : { content }) };
  }
  for (const code of ["bad_request", "invalid", ...errors, "unavailable", "internal"] as const) {
    const status = errorTable[code].status;
    const before = responses[status]?.description;
    responses[status] = {
      description: before === undefined ? code : `${before}, ${code}`,
      content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
    };
  }
  return {
    operationId: name,
    summary,
    "x-right": right,
    parameters: [
      ...parametersOf(operation.params, "path"),
      ...parametersOf(operation.query, "query"),
    ],
    ...(requested === undefined
      ? {}
      : { requestBody: { required: !body?.isOptional(), content: requested } }),
    responses,
  };
}

/** Two operations on one path that differ in their types: one entry with both types. */
function merge(a: PathOperation, b: PathOperation): PathOperation {
  const parameters = [
    ...a.parameters,
    ...b.parameters.filter((p) => !a.parameters.some((q) => q.name === p.name)),
  ];
  const responses = { ...b.responses, ...a.responses };
  for (const [status, response] of Object.entries(a.responses)) {
    responses[status] = {
      ...response,
      content: { ...response.content, ...b.responses[status]?.content },
    };
  }
  const content = { ...a.requestBody?.content, ...b.requestBody?.content };
  const hasBody = Object.keys(content).length > 0;
  return {
    ...a,
    parameters,
    responses,
    ...(hasBody ? { requestBody: { required: true, content } } : {}),
  };
}

function parametersOf(schema: z.ZodType | undefined, where: "path" | "query") {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = jsonSchema(schema, "input") as {
    properties?: Record<string, object>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: required.includes(name),
    schema: property,
  }));
}

function json(schema: z.ZodType, io: "input" | "output"): Content {
  return { "application/json": { schema: jsonSchema(schema, io) } };
}

function binary(type: string): Content {
  return { [type]: { schema: { type: "string", format: "binary" } } };
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): object {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io });
  return described;
}
