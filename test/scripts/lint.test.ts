import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tasso-lint-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What the linter says to a file, by the rule of this project on imports. */
function lint(source: string): string {
  const { linter } = JSON.parse(readFileSync(join(root, "biome.json"), "utf8"));
  const { noRestrictedImports } = linter.rules.style;
  const rules = { preset: "none", style: { noRestrictedImports } };
  writeFileSync(join(folder, "biome.json"), JSON.stringify({ linter: { rules } }));
  writeFileSync(join(folder, "sample.ts"), source);
  const biome = join(root, "node_modules/.bin/biome");
  const { stdout, stderr } = spawnSync(biome, ["lint", "."], { cwd: folder, encoding: "utf8" });
  return stdout + stderr;
}

describe("the linter", () => {
  it.each([
    'import { z } from "zod";\nexport const schema = z.string();\n',
    'import z from "zod";\nexport const schema = z.string();\n',
    'import { DynamoDB } from "@aws-sdk/client-dynamodb";\nexport const client = new DynamoDB();\n',
    'import { S3 } from "@aws-sdk/client-s3";\nexport const client = new S3();\n',
  ])("refuses what bundles cannot be freed of: %s", (source) => {
    expect(lint(source)).toContain("noRestrictedImports");
  });

  it("takes what they can", () => {
    for (const source of [
      'import * as z from "zod";\nexport const schema = z.string();\n',
      'import { S3Client } from "@aws-sdk/client-s3";\nexport const client = new S3Client({});\n',
    ]) {
      expect(lint(source)).not.toContain("noRestrictedImports");
    }
  });
});
