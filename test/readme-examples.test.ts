import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

it("README quotes every small example as it is", async () => {
  const readme = await readFile(`${root}README.md`, "utf8");
  const quoted = /^\[(examples\/\d\d-[\w-]+\.ts)\]\(\1\)\n\n```ts\n([\s\S]*?)\n```$/gm;
  const quotes = [...readme.matchAll(quoted)].map(([, file = "", text = ""]) => ({ file, text }));
  const files = (await readdir(`${root}examples`)).filter((name) => /^\d\d-/.test(name)).sort();
  expect(quotes.map(({ file }) => file)).toEqual(files.map((name) => `examples/${name}`));
  for (const { file, text } of quotes) {
    expect(text.split("\n").length, file).toBeGreaterThan(1);
    expect(await readFile(root + file, "utf8"), file).toContain(`${text}\n`);
  }
});
