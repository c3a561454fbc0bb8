import { afterEach, describe, expect, it, vi } from "vitest";
import { logError, logMetrics } from "../../functions/log.ts";

describe("the log of a function", () => {
  afterEach(() => vi.restoreAllMocks());

  function linesOf(act: () => void): string[] {
    const written: string[] = [];
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      written.push(String(text));
      return true;
    });
    act();
    return written;
  }

  it("has one line a call, of which CloudWatch makes metrics", () => {
    const [line = "", ...more] = linesOf(() =>
      logMetrics(
        { service: "s", function: "send" },
        { messages: 2, latenessMs: 5 },
        { status: 200 },
      ),
    );
    expect(more).toEqual([]);
    expect(line).toMatch(/^\{.*\}\n$/);
    const { _aws, ...values } = JSON.parse(line);
    expect(values).toEqual({
      service: "s",
      function: "send",
      messages: 2,
      latenessMs: 5,
      status: 200,
    });
    expect(_aws).toEqual({
      Timestamp: expect.any(Number),
      CloudWatchMetrics: [
        {
          Namespace: "Tasso",
          Dimensions: [["service", "function"]],
          Metrics: [
            { Name: "messages", Unit: "Count" },
            { Name: "latenessMs", Unit: "Milliseconds" },
          ],
        },
      ],
    });
  });

  it("has one line an error, with what caused it", () => {
    const cause = new Error("the wire was cut\nin two");
    const [line = "", ...more] = linesOf(() =>
      logError(new Error("no answer", { cause }), { requestId: "7" }),
    );
    expect(more).toEqual([]);
    expect(line.match(/\n/g)).toHaveLength(1);
    expect(JSON.parse(line)).toMatchObject({
      level: "ERROR",
      requestId: "7",
      message: "no answer",
      causes: ["Error: the wire was cut\nin two"],
      stack: expect.stringContaining("log.test.ts"),
    });
  });
});
