// Bundles the functions for Lambda: `node scripts/bundle-functions.mjs FOLDER`. The CDK runs it when it synthesizes.
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { patching } from "./bundle.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

export const functionEntries = [
  "send",
  "transact",
  "pull",
  "commit",
  "admin",
  "all",
  "on-alarm",
  "name-server",
];

/**
 * One call for all of them, into one folder in which they share what they have in common.
 *
 * - `splitting` with ES modules: what is imported late lies in files of its own and is loaded when it is needed.
 * - `mainFields`: the AWS SDK's ES modules, of which only what is used stays; its CommonJS is a third larger.
 * - `alias`: what the SDK carries along and never needs here. In Lambda the credentials lie in the environment: the
 *   search for them (files, single sign-on, metadata of machines) would be 130 KB. DynamoDB has one endpoint a region:
 *   the memory of endpoints would be 7 KB.
 * - `withoutBarrels`: see there, 40 KB.
 * - `banner`: parts of the SDK still call `require`.
 * - `target`: what the oldest Node can do that an emulator may run; the functions themselves run on Node 24.
 *
 * @param {{outdir: string, patches?: readonly {file: string, find: string, replace: string}[]}} options
 *   `patches` as in `bundle.mjs`.
 */
export async function bundleFunctions({ outdir, patches = [] }) {
  return build({
    absWorkingDir: root,
    entryPoints: functionEntries.map((name) => `functions/${name}.ts`),
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    mainFields: ["module", "main"],
    alias: {
      "@aws-sdk/credential-provider-node": "./functions/environment-credentials.ts",
      "@aws-sdk/endpoint-cache": "./functions/no-endpoint-cache.ts",
    },
    banner: {
      js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);',
    },
    minify: true,
    legalComments: "none",
    outExtension: { ".js": ".mjs" },
    chunkNames: "shared/[name]-[hash]",
    metafile: true,
    plugins: [patching(patches), withoutBarrels],
  });
}

/**
 * The SDK's parts import each other through files that export everything of a part. esbuild loads a file for everybody
 * who can reach it: through those files DynamoDB's client reaches the XML that only S3's uses, and every function
 * would load it at its start. Here each name is imported from where it is made.
 */
const withoutBarrels = {
  name: "without-barrels",
  setup(builder) {
    const filter = /node_modules\/@(aws-sdk|smithy)\/.*\/dist-es\/.*\.js$/;
    builder.onLoad({ filter }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const contents = source.replace(namedImport, (whole, names, part) => {
        const imports = namesIn(names).map(([name, local]) => {
          const origin = originOf(barrelOf(part), name);
          return (
            origin && `import { ${origin.name} as ${local} } from ${JSON.stringify(origin.file)};`
          );
        });
        return imports.every(Boolean) ? imports.join(" ") : whole;
      });
      return { contents, loader: "js" };
    });
  },
};

const namedImport = /^import \{([^}]*)\} from "(@(?:aws-sdk|smithy)\/core(?:\/[a-z-]+)?)";/gim;
const namedExport = /^export \{([^}]*)\} from "([^"]*)";/gm;

/** Where a name of a barrel is made, and what it is called there. Nothing where that cannot be seen. */
function originOf(barrel, wanted) {
  for (const [, names, from] of readBarrel(barrel).matchAll(namedExport)) {
    const [name] = namesIn(names).find(([, exported]) => exported === wanted) ?? [];
    if (name === undefined) continue;
    return from.startsWith(".")
      ? { name, file: join(dirname(barrel), from) }
      : originOf(barrelOf(from), name);
  }
  return undefined;
}

/** What stands between braces: each name, and what it is called on the other side. */
function namesIn(text) {
  const names = text.split(",").map((each) => each.trim());
  return names.filter(Boolean).map((each) => {
    const [name, other = name] = each.split(" as ");
    return [name, other];
  });
}

/** The file of one of the SDK's parts, as in `@smithy/core/protocols`; or of all. */
function barrelOf(part) {
  const [scope, core, name] = part.split("/");
  const folder = name === undefined ? "" : `submodules/${name}/`;
  return join(root, `node_modules/${scope}/${core}/dist-es/${folder}index.js`);
}

const barrels = new Map();

function readBarrel(file) {
  if (!barrels.has(file)) barrels.set(file, existsSync(file) ? readFileSync(file, "utf8") : "");
  return barrels.get(file);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , outdir] = process.argv;
  if (outdir === undefined) throw new Error("usage: node scripts/bundle-functions.mjs FOLDER");
  await bundleFunctions({ outdir });
}
