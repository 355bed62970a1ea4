import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
    globalIgnores(["build/", "dist/", "src/wire.ts"]),
    js.configs.recommended,
    {
        files: ["src/**/*.ts", "tests/**/*.ts"],
        extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
        languageOptions: {
            parserOptions: { project: ["./tsconfig.json", "./tsconfig.test.json"], tsconfigRootDir: import.meta.dirname },
        },
        rules: {
            "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
            "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
            "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
        },
    },
    {
        files: ["tests/**/*.ts"],
        rules: {
            // `test` of node:test returns a promise that the runner itself awaits.
            "@typescript-eslint/no-floating-promises": ["error", { allowForKnownSafeCalls: [{ from: "package", name: ["test", "afterEach"], package: "node:test" }] }],
        },
    },
    {
        files: ["scripts/*.mjs", "tests/*.mjs"],
        languageOptions: {
            globals: Object.fromEntries(
                ["AbortController", "File", "URL", "console", "fetch", "process", "setTimeout"].map((name) => [name, "readonly"]),
            ),
        },
    },
);
