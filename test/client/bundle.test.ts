import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const KB = 1_024;

describe("the client library in a bundle for browsers", () => {
  it("imports nothing that is not in it, and is small", async () => {
    const { outputFiles, metafile } = await build({
      absWorkingDir: root,
      entryPoints: ["src/client/index.ts"],
      bundle: true,
      write: false,
      minify: true,
      metafile: true,
      platform: "browser",
      format: "esm",
      target: "es2022",
    });
    const [file] = outputFiles;
    const imported = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
    expect(imported).toEqual([]);
    expect(file?.text).not.toMatch(/\brequire\("node:|from"node:|import\("node:/);
    const packed = gzipSync(file?.contents ?? new Uint8Array()).length;
    const size = file?.contents.length ?? 0;
    process.stdout.write(`the client library: ${size} bytes, ${packed} with gzip\n`);
    expect(size).toBeLessThanOrEqual(sizeMax);
  });

  it("is made of the client, the batch format and rules, and nothing of the broker's storage", async () => {
    const { metafile } = await build({
      absWorkingDir: root,
      entryPoints: ["src/client/index.ts"],
      bundle: true,
      write: false,
      metafile: true,
      platform: "browser",
      format: "esm",
    });
    const strange = Object.keys(metafile.inputs).filter(
      (file) => !allowed.some((pattern) => pattern.test(file)),
    );
    expect(strange).toEqual([]);
  });
});

const sizeMax = 64 * KB;
const allowed = [
  /^src\/client\//,
  /^src\/adapters\/local\/system-clock\.ts$/,
  /^src\/broker\/(?:assert|bytes|crc32c|errors|limits|text-hash)\.ts$/,
  /^src\/broker\/log\/(?:batch|batch-format-error|byte-reader|byte-writer|message|message-rules)\.ts$/,
  /^src\/broker\/ports\/store\.ts$/,
  /^src\/broker\/topics\/queue-choice\.ts$/,
  /^node_modules\/siphash\//,
];
