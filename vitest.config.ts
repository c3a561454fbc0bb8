import { defineConfig } from "vitest/config";

// biome-ignore lint/style/noDefaultExport: vitest loads the default export
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    coverage: { provider: "v8", include: ["src/broker/**"] },
  },
});
