import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stack, Validations } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { AwsSolutionsChecks } from "cdk-nag";
import { Tasso, type TassoProps } from "../../infra/tasso.ts";
import { TassoStack } from "../../infra/tasso-stack.ts";
import { newApp } from "./deployment.ts";

/** A folder of code, for templates without the seconds that bundling takes. */
const codeFolder = mkdtempSync(join(tmpdir(), "tasso-no-code-"));
writeFileSync(join(codeFolder, "send.mjs"), "");
process.on("exit", () => rmSync(codeFolder, { recursive: true, force: true }));

let byDefault: Template | undefined;

/** Made once where no options are given. */
export function templateOf(props?: TassoProps): Template {
  if (props !== undefined) return newTemplate(props);
  byDefault ??= newTemplate({});
  return byDefault;
}

function newTemplate(props: TassoProps): Template {
  return Template.fromStack(new TassoStack(newApp(), "Tasso", { codeFolder, ...props }));
}

/** A finding of cdk-nag: its id, and the path of what it was found at. */
export interface Finding {
  readonly id: string;
  readonly path: string;
}

/** What cdk-nag finds in the stack of the app, and in a stack with the construct and nobody who acknowledges anything. */
export function findingsIn(props: TassoProps): {
  readonly ofStack: Finding[];
  readonly ofConstruct: Finding[];
  readonly tasso: Tasso;
} {
  const ofStack = check((app) => new TassoStack(app, "Tasso", { codeFolder, ...props }));
  const ofConstruct = check((app) => {
    const stack = new Stack(app, "Tasso");
    return { tasso: new Tasso(stack, "Tasso", { codeFolder, ...props }) };
  });
  return { ofStack: ofStack.findings, ofConstruct: ofConstruct.findings, tasso: ofConstruct.tasso };
}

interface Report {
  readonly pluginReports: readonly {
    readonly violations: readonly {
      readonly ruleName: string;
      readonly violatingConstructs: readonly { readonly constructPath?: string }[];
    }[];
  }[];
}

function check(make: (app: ReturnType<typeof newApp>) => { readonly tasso: Tasso }) {
  const folder = mkdtempSync(join(tmpdir(), "tasso-nag-"));
  const app = newApp(folder);
  const { tasso } = make(app);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  const failed = failureOf(() => app.synth());
  const findings = failed === undefined ? [] : findingsOf(join(folder, "validation-report.json"));
  rmSync(folder, { recursive: true, force: true });
  return { tasso, findings };
}

/** It writes its findings into a file and throws. */
function failureOf(act: () => unknown): Error | undefined {
  const { stderr } = process;
  const write = stderr.write;
  stderr.write = () => true;
  try {
    act();
    return undefined;
  } catch (error) {
    if ((error as Error).name !== "ValidationFailed") throw error;
    return error as Error;
  } finally {
    stderr.write = write;
  }
}

function findingsOf(file: string): Finding[] {
  const { pluginReports } = JSON.parse(readFileSync(file, "utf8")) as Report;
  return pluginReports.flatMap(({ violations }) =>
    violations.flatMap(({ ruleName, violatingConstructs }) =>
      violatingConstructs.map(({ constructPath = "" }) => ({ id: ruleName, path: constructPath })),
    ),
  );
}
