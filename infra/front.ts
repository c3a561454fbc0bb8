import type { aws_iam as iam } from "aws-cdk-lib";
import type { Right } from "../src/api/operation.ts";
import type { Acknowledged } from "./acknowledged.ts";

/** How callers reach the broker. */
export interface Front {
  /** What a client takes as its base URL, without a slash at its end. */
  readonly url: string;
  /** Lets somebody call the operations of these rights. */
  grantCall(grantee: iam.IGrantable, rights: readonly Right[]): void;
  /** What cdk-nag finds in it that is meant so. */
  readonly acknowledged: readonly Acknowledged[];
}

/** How callers prove who they are. */
export type Authorization =
  /** Requests signed with AWS credentials; policies say who may call which route. */
  | { readonly kind: "iam" }
  /** Bearer tokens of an issuer. Whoever has one of the audience may do everything. */
  | { readonly kind: "jwt"; readonly issuer: string; readonly audience: readonly string[] }
  /** Nobody is asked: whoever finds the address may do everything. */
  | { readonly kind: "none" };
