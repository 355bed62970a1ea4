// Builds dist/: the package as ES modules and as CommonJS modules, each with its own types.

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const tsc = (project) => {
    execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", project], { stdio: "inherit" });
};

for (const folder of ["dist", "build/cjs"]) rmSync(folder, { recursive: true, force: true });
tsc("tsconfig.json");

// The compiler chooses the module format by the nearest package.json.
cpSync("src", "build/cjs", { recursive: true });
writeFileSync("build/cjs/package.json", '{ "type": "commonjs" }\n');
tsc("tsconfig.cjs.json");
writeFileSync("dist/cjs/package.json", '{ "type": "commonjs" }\n');

for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(`../${licence}`, licence);
