import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import type { Construct } from "constructs";
import { acknowledgeFindings } from "./acknowledged.ts";
import { HttpFront } from "./http-front.ts";
import { Tasso, type TassoProps } from "./tasso.ts";

/** A stack with a broker and nothing else. */
export class TassoStack extends Stack {
  readonly tasso: Tasso;

  constructor(scope: Construct, id: string, props: StackProps & TassoProps = {}) {
    super(scope, id, { description: "Tasso, a message broker", ...props });
    this.tasso = new Tasso(this, "Tasso", props);
    acknowledgeFindings(this.tasso);
    const { front } = this.tasso;
    new CfnOutput(this, "Url", { value: front.url });
    // Emulators are reached by the API's id, not by its name.
    if (front instanceof HttpFront) new CfnOutput(this, "ApiId", { value: front.api.apiId });
  }
}
