import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { optionsIn } from "./options.ts";
import { TassoStack } from "./tasso-stack.ts";

/** `cdk deploy` runs this. Its options are those of the context: `cdk deploy -c front=function-url`. */
const app = new App();
const { stackName, ...options } = optionsIn((name) => app.node.tryGetContext(name));
new TassoStack(app, stackName, options);
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
