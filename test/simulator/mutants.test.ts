import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { mutants } from "./mutants.ts";

describe("a mutant", () => {
  it("changes what stands in its file once, so that it is the bug that it says", async () => {
    const astray: string[] = [];
    for (const { name, patches } of mutants) {
      for (const { file, find } of patches) {
        const parts = (await readFile(file, "utf8")).split(find).length;
        if (parts !== 2) astray.push(`${name}: ${parts - 1} times in ${file}: ${find}`);
      }
    }
    expect(astray).toEqual([]);
  });
});
