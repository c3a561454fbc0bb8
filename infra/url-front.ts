import { Fn, type aws_iam as iam, aws_lambda as lambda } from "aws-cdk-lib";
import { Construct } from "constructs";
import type { Authorization, Front } from "./front.ts";

export interface UrlFrontProps {
  /** The function that serves every right: a Function URL leads to one function only. */
  readonly function: lambda.Function;
  readonly authorization: Exclude<Authorization, { kind: "jwt" }>;
}

/** A Function URL: nothing to pay in front of the function, and no telling one right from another. */
export class UrlFront extends Construct implements Front {
  readonly url: string;
  readonly acknowledged = [];
  readonly #url: lambda.FunctionUrl;

  constructor(scope: Construct, id: string, { function: target, authorization }: UrlFrontProps) {
    super(scope, id);
    const { AWS_IAM, NONE } = lambda.FunctionUrlAuthType;
    this.#url = target.addFunctionUrl({ authType: authorization.kind === "iam" ? AWS_IAM : NONE });
    // Clients put a path behind it, which begins with a slash.
    this.url = Fn.join("//", [
      Fn.select(0, Fn.split("/", this.#url.url)),
      Fn.select(2, Fn.split("/", this.#url.url)),
    ]);
  }

  /** Whoever may call at all may call everything. */
  grantCall(grantee: iam.IGrantable): void {
    this.#url.grantInvokeUrl(grantee);
  }
}
