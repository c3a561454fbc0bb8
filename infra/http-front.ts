import type { aws_iam as iam, aws_lambda as lambda } from "aws-cdk-lib";
import {
  HttpApi,
  HttpMethod,
  HttpNoneAuthorizer,
  HttpRoute,
  HttpRouteKey,
  type IHttpRouteAuthorizer,
} from "aws-cdk-lib/aws-apigatewayv2";
import { HttpIamAuthorizer, HttpJwtAuthorizer } from "aws-cdk-lib/aws-apigatewayv2-authorizers";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Construct } from "constructs";
import { functionFor } from "../functions/rights.ts";
import type { Described, Right } from "../src/api/operation.ts";
import { type Acknowledged, found } from "./acknowledged.ts";
import type { Authorization, Front } from "./front.ts";

export interface HttpFrontProps {
  readonly operations: readonly Described[];
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
  readonly acknowledged: Acknowledged[] = [];
  readonly #routes: { readonly right: Right; readonly route: HttpRoute }[] = [];

  constructor(scope: Construct, id: string, props: HttpFrontProps) {
    super(scope, id);
    const { operations, functionOf } = props;
    const authorizer = authorizerOf(props.authorization);
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
    const addRoute = (routeId: string, routeKey: HttpRouteKey, right: Right, open = false) => {
      const route = new HttpRoute(this, routeId, {
        httpApi: this.api,
        routeKey,
        integration: integrationOf(right),
        authorizer: open ? new HttpNoneAuthorizer() : authorizer,
      });
      if (open || props.authorization.kind === "none")
        this.acknowledged.push(found(route, "APIG4", open ? openToAll : openByName));
      return route;
    };

    this.api = new HttpApi(this, "Api", { description: "Tasso, a message broker" });
    this.url = this.api.apiEndpoint;
    if (this.api.defaultStage !== undefined)
      this.acknowledged.push(found(this.api.defaultStage, "APIG1", loggedByFunctions));
    for (const { name, method, path, right } of routesOf(operations)) {
      const key = HttpRouteKey.with(path, HttpMethod[method]);
      this.#routes.push({
        right,
        route: addRoute(name, key, right, openOperations.includes(name)),
      });
    }
    // What is not there is told by the broker in its own words, to those who may call at all.
    addRoute("elsewhere", HttpRouteKey.DEFAULT, "none");
  }

  grantCall(grantee: iam.IGrantable, rights: readonly Right[]): void {
    for (const { right, route } of this.#routes) {
      if (rights.includes(right) || (right === "route" && rights.length > 0))
        route.grantInvoke(grantee);
    }
  }
}

const loggedByFunctions =
  "Each call is a line in the log of its function, with its id, status and duration.";
const openToAll = "Health is open to all, reads nothing and tells nothing that is not public.";
const openByName = "Whoever deployed this asked by name for a broker that asks nobody.";

/** Operations that share a route share its right. */
function routesOf(operations: readonly Described[]): readonly Described[] {
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
