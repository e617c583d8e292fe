import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/**/*.long.test.ts", "node_modules/**"],
    globalSetup: ["test/support/global-setup.ts"],
    env: { AWS_EC2_METADATA_DISABLED: "true" },
    // Most of the time they wait, for a database or a deadline.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
