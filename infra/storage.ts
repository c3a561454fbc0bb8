import { Duration, RemovalPolicy } from "aws-cdk-lib";
import { AttributeType, Billing, TableV2 } from "aws-cdk-lib/aws-dynamodb";
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership } from "aws-cdk-lib/aws-s3";
import { Construct } from "constructs";
import { ttlAttribute } from "../src/adapters/aws/dynamo-codec.ts";

export interface StorageProps {
  readonly removalPolicy: RemovalPolicy;
}

/** Where everything is kept: the table of the store and the bucket of the blobs. */
export class Storage extends Construct {
  readonly table: TableV2;
  readonly bucket: Bucket;

  constructor(scope: Construct, id: string, { removalPolicy }: StorageProps) {
    super(scope, id);
    this.table = storeTable(this, { removalPolicy });
    this.bucket = new Bucket(this, "Bucket", {
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      encryption: BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      // Blobs are removed by the broker, which knows who still needs them. Only what never became one goes by age.
      lifecycleRules: [{ abortIncompleteMultipartUploadAfter: Duration.days(1) }],
      removalPolicy,
    });
  }
}

/** The table of a store. */
export function storeTable(scope: Construct, { removalPolicy }: StorageProps): TableV2 {
  return new TableV2(scope, "Table", {
    partitionKey: { name: "p", type: AttributeType.BINARY },
    sortKey: { name: "s", type: AttributeType.BINARY },
    billing: Billing.onDemand(),
    timeToLiveAttribute: ttlAttribute,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: removalPolicy === RemovalPolicy.RETAIN,
    removalPolicy,
  });
}
