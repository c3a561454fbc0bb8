import { describe, expect, it } from "vitest";
import { call } from "../support/http-client.ts";
import { runScript } from "../support/run-script.ts";

/** What each small example prints, wherever the broker is. */
export function runSmallExamples(name: string, urlOf: () => string): void {
  const linesOf = async (example: string): Promise<string[]> => {
    const { code, output } = await runScript(`examples/${example}.ts`, [], { TASSO_URL: urlOf() });
    expect(code, output).toBe(0);
    return output.trim().split("\n");
  };

  describe(`the examples, run against ${name},`, () => {
    it("send and wait for the receipt", async () => {
      const text = (await linesOf("01-synchronous")).join(" ");
      expect(text).toMatch(/^stored: \{.* topic: 'bread', +queue: \d, +offset: \d+,/);
    });

    it("send and are called back for each message", async () => {
      const [first = "", ...others] = await linesOf("02-asynchronous");
      expect(first).toBe("all are on their way");
      const told = others.map((line) => line.replace(/[0-9a-f]{40}$/, "<id>")).sort();
      const loaves = ["one loaf", "three loaves", "two loaves"];
      expect(told).toEqual(loaves.map((body) => `${body}: stored as <id>`));
    });

    it("send and never ask", async () => {
      expect(await linesOf("03-one-way")).toEqual(["sent, and never asked for again"]);
      const { json } = await call(urlOf(), "GET", "/v1/topics/oven-temperatures");
      const ends: number[] = json.queues.map(({ max }: { max: number }) => max);
      expect(Math.max(...ends)).toBe(1);
    });

    it("receive in the order of each message group", async () => {
      const lines = await linesOf("04-ordered");
      for (const customer of ["anna", "bruno"]) {
        const own = lines.filter((line) => line.startsWith(customer));
        expect(own).toEqual(["ordered", "paid", "shipped"].map((body) => `${customer}: ${body}`));
      }
      expect(lines).toHaveLength(6);
    });

    it("receive a delayed message not early, and none that was recalled", async () => {
      const [line = "", ...others] = await linesOf("05-delayed");
      const [, body, ms] = /^"(.+)" came after (\d+) ms$/.exec(line) ?? [];
      expect([body, others]).toEqual(["take it out of the oven", []]);
      expect(Number(ms)).toBeGreaterThanOrEqual(2_000);
    });

    it("send in a transaction", async () => {
      const lines = await linesOf("06-transactional");
      expect(lines).toEqual(["order-1: COMMITTED", "order-2: ROLLED_BACK"]);
    });
  });
}
