/** Stands in for the AWS SDK's memory of endpoints that a service was asked for, which it never is for DynamoDB here. */
export class EndpointCache {
  get(): undefined {
    return undefined;
  }
  set(): void {}
  has(): boolean {
    return false;
  }
  delete(): void {}
}
