// Bundles an entry of the project to one file of plain JavaScript, for Node 20 does not run TypeScript.
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * @param {{entry: string, outfile: string, patches?: readonly {file: string, find: string, replace: string}[]}} options
 *   `patches` are changes of the source for this bundle only: how tests switch a known bug on. Each `find` must stand
 *   exactly once in its file.
 */
export async function bundle({ entry, outfile, patches = [] }) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: "node",
    target: "node20",
    format: "esm",
    packages: "bundle",
    external: ["lmdb"],
    sourcemap: "inline",
    legalComments: "none",
    banner: {
      js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);',
    },
    plugins: patches.length === 0 ? [] : [patching(patches)],
  });
  // Written whole under another name first: two starts at the same moment do not see each other's half.
  await mkdir(dirname(outfile), { recursive: true });
  const draft = `${outfile}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, outputFiles[0].contents);
  await rename(draft, outfile);
  return outfile;
}

/** A plugin that changes sources; see `bundle`. */
export function patching(patches) {
  return {
    name: "patches",
    setup(builder) {
      builder.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const file = relative(root, path);
        const here = patches.filter((patch) => patch.file === file);
        if (here.length === 0) return undefined;
        let contents = await readFile(path, "utf8");
        for (const { find, replace } of here) {
          if (contents.split(find).length !== 2)
            throw new Error(`${file}: "${find}" must stand there once`);
          contents = contents.replace(find, () => replace);
        }
        return { contents, loader: "ts" };
      });
    },
  };
}
