import type { aws_iam as iam, aws_lambda as lambda } from "aws-cdk-lib";
import {
  HttpApi,
  HttpMethod,
  HttpNoneAuthorizer,
  type HttpRoute,
  type IHttpRouteAuthorizer,
} from "aws-cdk-lib/aws-apigatewayv2";
import { HttpIamAuthorizer, HttpJwtAuthorizer } from "aws-cdk-lib/aws-apigatewayv2-authorizers";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Construct } from "constructs";
import { functionFor } from "../functions/rights.ts";
import type { Operation, Right } from "../src/api/operation.ts";
import type { Authorization, Front } from "./front.ts";

export interface HttpFrontProps {
  readonly operations: readonly Operation[];
  /** The function that serves a right. */
  readonly functionOf: (right: Right) => lambda.IFunction;
  readonly authorization: Authorization;
}

/** Open to all: who asks whether it is alive has no credentials, and the answer tells nothing. */
const openOperations: readonly string[] = ["health"];

/** An HTTP API with a route for each operation, which leads to the function of its right. */
export class HttpFront extends Construct implements Front {
  readonly url: string;
  readonly api: HttpApi;
  readonly acknowledged: Front["acknowledged"];
  readonly #routes: { readonly name: string; readonly right: Right; readonly route: HttpRoute }[] =
    [];

  constructor(scope: Construct, id: string, props: HttpFrontProps) {
    super(scope, id);
    const { operations, functionOf, authorization } = props;
    const integrations = new Map<string, HttpLambdaIntegration>();
    const integrationOf = (right: Right): HttpLambdaIntegration => {
      const name = functionFor(right);
      // One permission a function, for all routes of this API: the API says which of them lead there.
      const options = { scopePermissionToRoute: false };
      const known = integrations.get(name);
      const integration = known ?? new HttpLambdaIntegration(name, functionOf(right), options);
      integrations.set(name, integration);
      return integration;
    };
    this.api = new HttpApi(this, "Api", {
      description: "Tasso, a message broker",
      defaultAuthorizer: authorizerOf(authorization),
      // What is not there is told by the broker in its own words, to those who may call at all.
      defaultIntegration: integrationOf("none"),
    });
    this.url = this.api.apiEndpoint;
    for (const { name, method, path, right } of routesOf(operations)) {
      const routes = this.api.addRoutes({
        path,
        methods: [HttpMethod[method]],
        integration: integrationOf(right),
        ...(openOperations.includes(name) ? { authorizer: new HttpNoneAuthorizer() } : {}),
      });
      this.#routes.push(...routes.map((route) => ({ name, right, route })));
    }
    const isOpen = ({ name }: { readonly name: string }) =>
      authorization.kind === "none" || openOperations.includes(name);
    this.acknowledged = [
      ...[this.api.defaultStage].flatMap((stage) =>
        stage === undefined
          ? []
          : [
              {
                construct: stage,
                id: "APIG1",
                reason:
                  "Each call is a line in the log of its function, with its id, status and duration.",
              },
            ],
      ),
      ...this.#routes.filter(isOpen).map(({ route }) => ({
        construct: route,
        id: "APIG4",
        reason:
          "Asked for: health tells nothing; the others are open only with authorization none.",
      })),
    ];
  }

  grantCall(grantee: iam.IGrantable, rights: readonly Right[]): void {
    for (const { right, route } of this.#routes) {
      if (rights.includes(right)) route.grantInvoke(grantee);
    }
  }
}

/** Operations that share a route share its right. */
function routesOf(operations: readonly Operation[]): readonly Operation[] {
  return [...new Map(operations.map((each) => [`${each.method} ${each.path}`, each])).values()];
}

function authorizerOf(authorization: Authorization): IHttpRouteAuthorizer {
  switch (authorization.kind) {
    case "iam":
      return new HttpIamAuthorizer();
    case "jwt":
      return new HttpJwtAuthorizer("Jwt", authorization.issuer, {
        jwtAudience: [...authorization.audience],
      });
    case "none":
      return new HttpNoneAuthorizer();
  }
}
