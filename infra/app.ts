import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { NameServerStack } from "./name-server.ts";
import { optionsIn } from "./options.ts";
import { TassoStack } from "./tasso-stack.ts";

/** `cdk deploy --all` runs this. Its options are those of the context: `cdk deploy -c front=function-url`. */
const app = new App();
const { stackName, nameServer, ...options } = optionsIn((name) => app.node.tryGetContext(name));
if (nameServer) {
  const { authorization, removalPolicy } = options;
  const names = new NameServerStack(app, `${stackName}NameServer`, {
    ...(authorization === undefined ? {} : { authorization }),
    ...(removalPolicy === undefined ? {} : { removalPolicy }),
  });
  const nameServers = [names.nameServer.front.url, ...(options.nameServers ?? [])];
  const { tasso } = new TassoStack(app, stackName, { ...options, nameServers });
  const { function: onAlarm } = tasso.functions.get("on-alarm") ?? {};
  if (onAlarm !== undefined) names.nameServer.grantRegister(onAlarm, tasso.brokerName);
} else new TassoStack(app, stackName, options);
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
