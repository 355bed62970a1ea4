// Runs the checks on Node, Deno or Bun: checks-main.mjs URL KEY CLOSED

import * as faas from "../dist/esm/index.js";
import { check } from "./checks.mjs";

const [url, key, closed] = (globalThis.Deno?.args ?? globalThis.process.argv.slice(2));
for (const line of await check(faas, { url, key, closed })) console.log(line);
