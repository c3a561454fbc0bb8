import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  CloudFormationClient,
  DeleteStackCommand,
  waitUntilStackDeleteComplete,
} from "@aws-sdk/client-cloudformation";
import {
  App,
  CliCredentialsStackSynthesizer,
  type IReusableStackSynthesizer,
  type Stack,
} from "aws-cdk-lib";
import type { Emulator } from "./emulator.ts";

/** The outputs of each stack, by its name. */
export type Outputs = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface Deployment {
  readonly outputs: Outputs;
  /** How long each phase took (s). */
  readonly seconds: Readonly<Record<string, number>>;
  remove(): Promise<void>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const cdk = join(root, "node_modules/aws-cdk/bin/cdk");

/**
 * The flags under which the app is synthesized. Without the CDK's linter of templates, which takes seconds; `npx cdk synth` has it; and
 * with the rights of who deploys: the roles of the bootstrap may only use TLS, which the emulator does not speak.
 */
export function newApp(outdir?: string): App {
  const { context } = JSON.parse(readFileSync(join(root, "cdk.json"), "utf8"));
  return new App({
    context,
    analyticsReporting: false,
    builtinCloudFormationValidation: false,
    defaultStackSynthesizer: new CliCredentialsStackSynthesizer() as IReusableStackSynthesizer,
    ...(outdir === undefined ? {} : { outdir }),
  });
}

/** Deploys stacks with the CDK's command line, as anybody would. */
export async function deploy(
  { endpoint, environment }: Emulator,
  makeStacks: (app: App) => readonly Stack[],
): Promise<Deployment> {
  const folder = await mkdtemp(join(tmpdir(), "tasso-deploy-"));
  const cloud = join(folder, "cdk.out");
  const outputsFile = join(folder, "outputs.json");
  const seconds: Record<string, number> = {};
  const timed = async <T>(phase: string, work: () => T | Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await work();
    seconds[phase] = Math.round((performance.now() - began) / 100) / 10;
    return result;
  };
  const stacks = await timed("bundle and synthesize", () => {
    const app = newApp(cloud);
    const made = makeStacks(app);
    app.synth();
    return made.map(({ stackName }) => stackName);
  });
  const run = (...args: string[]) => runCdk([...args, "--app", cloud, "--no-notices"], environment);
  await timed("bootstrap", () => run("bootstrap"));
  // By change set a second deployment fails on the emulator.
  await timed("deploy", () =>
    run(
      "deploy",
      "--all",
      "--method=direct",
      "--require-approval=never",
      "--outputs-file",
      outputsFile,
    ),
  );
  const outputs = JSON.parse(await readFile(outputsFile, "utf8")) as Outputs;
  await rm(folder, { recursive: true, force: true });
  return {
    outputs,
    seconds,
    remove: () => timed("remove", () => removeStacks(stacks, endpoint)),
  };
}

/** The address under which an emulator serves what a stack tells as its URL. */
export function emulatedUrl({ endpoint }: Emulator, outputs: Outputs[string] = {}): string {
  const { ApiId: api, Url: url = "" } = outputs;
  if (api !== undefined) return `${endpoint}/_aws/execute-api/${api}/$default`;
  const { hostname } = new URL(url);
  // Its own names lead to itself; another emulator names what only AWS can resolve.
  if (hostname.endsWith(".localhost.localstack.cloud")) return url;
  return `${endpoint}/_aws/lambda-url/${hostname.split(".")[0]}`;
}

/** By name: the command line does it by ARN, which the emulator passes over in silence. */
async function removeStacks(names: readonly string[], endpoint: string): Promise<void> {
  const client = new CloudFormationClient(emulated(endpoint));
  for (const StackName of names) await client.send(new DeleteStackCommand({ StackName }));
  for (const StackName of names) {
    await waitUntilStackDeleteComplete({ client, maxWaitTime: 300, minDelay: 1 }, { StackName });
  }
  client.destroy();
}

export function emulated(endpoint: string) {
  const credentials = { accessKeyId: "test", secretAccessKey: "test" };
  return { endpoint, region: "us-east-1", credentials };
}

function runCdk(args: readonly string[], environment: Emulator["environment"]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cdk, ...args], {
      cwd: root,
      // biome-ignore lint/style/noProcessEnv: the command line finds its tools in it
      env: { ...process.env, ...environment, CI: "1", CDK_DISABLE_CLI_TELEMETRY: "true" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    }
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`cdk ${args[0]} ended with ${code}:\n${said}`));
    });
  });
}
