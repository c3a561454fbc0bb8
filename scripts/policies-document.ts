import { App, Stack } from "aws-cdk-lib";
import type { PolicyStatement } from "aws-cdk-lib/aws-iam";
import { type ApiFunction, serves } from "../functions/rights.ts";
import { type FunctionName, Tasso } from "../infra/tasso.ts";
import type { Operation } from "../src/api/operation.ts";
import { operations } from "../src/api/operations.ts";

const head = `# What each function may do

Made from the table of operations by \`node --import tsx scripts/policies.ts\`; a test sees to it that it is up to date.
Each operation says what it uses of the ports (\`uses\` in \`src/api/operations/\`), \`infra/permissions.ts\` says what that
means to IAM, and each function may do what its operations need. No action is a wildcard. Resources are single ones, but
for \`/*\` of the bucket, of the schedule group, and of the streams of a function's own log.
`;

const roleHead = `## EventBridge Scheduler

Under this role the Scheduler rings alarms and calls the periodic sweep.
`;

/** The text of docs/policies.md. `codeFolder` is any folder: what the functions do is not looked at. */
export function policiesDocument(codeFolder: string): string {
  const stack = new Stack(new App({ analyticsReporting: false }), "Tasso");
  const http = new Tasso(stack, "Http", { codeFolder });
  const url = new Tasso(stack, "Url", { codeFolder, front: "function-url" });
  const sections = [
    ...[...http.functions.keys()].map((name) => sectionOf(stack, http, name)),
    sectionOf(stack, url, "all"),
  ];
  const scheduler = tableOf(stack, http, http.wakeUps.policy.document.toJSON().Statement);
  return [head, ...sections, roleHead, scheduler].join("\n");
}

function sectionOf(stack: Stack, tasso: Tasso, name: FunctionName): string {
  const made = tasso.functions.get(name);
  if (made === undefined) throw new Error(`there is no function ${name}`);
  const statements = stack.resolve(made.policy.document.toJSON()).Statement;
  const serving =
    name === "on-alarm"
      ? "Called by the Scheduler and by functions that set alarms; sweeps."
      : `Serves ${operationsOf(name)
          .map(({ name: operation }) => `\`${operation}\``)
          .join(", ")}.`;
  const uses = [...made.uses].sort().join(", ");
  const only =
    name === "all"
      ? ' Only with `front: "function-url"`, in place of the others but on-alarm.'
      : "";
  return `## ${name}\n\n${serving}${only} Uses: ${uses}.\n\n${tableOf(stack, tasso, statements)}`;
}

function operationsOf(name: ApiFunction): readonly Operation[] {
  return operations.filter(({ right }) => serves(name, right));
}

type Statement = ReturnType<PolicyStatement["toStatementJson"]>;

function tableOf(stack: Stack, tasso: Tasso, statements: readonly Statement[]): string {
  const rows = statements.map((statement) => {
    const { Sid, Action, Resource, Condition } = stack.resolve(statement);
    const actions = [Action]
      .flat()
      .map((action: string) => `\`${action}\``)
      .join(", ");
    const only =
      Condition === undefined
        ? ""
        : `, only to \`${Condition.StringEquals["iam:PassedToService"]}\``;
    return `| ${Sid} | ${actions} | ${nameOf(stack, tasso, Resource)}${only} |`;
  });
  return ["| statement | actions | on |", "|---|---|---|", ...rows, ""].join("\n");
}

/** What people call a resource. */
function nameOf(stack: Stack, { storage, wakeUps, functions }: Tasso, resource: unknown): string {
  const names = new Map<unknown, string>([
    [storage.table.tableArn, "the table"],
    [storage.bucket.bucketArn, "the bucket"],
    [storage.bucket.arnForObjects("*"), "the bucket's objects, `/*`"],
    [wakeUps.role.roleArn, "the Scheduler's role"],
    [wakeUps.deadLetters.queueArn, "the dead-letter queue"],
    [wakeUps.schedulesArn, "the schedules of the group, `/*`"],
    [wakeUps.onAlarmArn, "the function on-alarm"],
    ...[...functions.values()].map(
      ({ logGroup }) => [logGroup.logGroupArn, "its own log group"] as const,
    ),
  ]);
  const wanted = JSON.stringify(resource);
  for (const [arn, name] of names) if (JSON.stringify(stack.resolve(arn)) === wanted) return name;
  throw new Error(`nobody has a name for ${wanted}`);
}
