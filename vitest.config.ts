import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/**/*.long.test.ts", "node_modules/**"],
    globalSetup: ["test/support/global-setup.ts"],
    env: { AWS_EC2_METADATA_DISABLED: "true" },
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
