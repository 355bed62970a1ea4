// Packs the package, installs it into an empty folder, and uses it there as an ES module, as a
// CommonJS module and from TypeScript. Prints the path of the tarball.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
const packed = join(folder, "build/packed");
rmSync(packed, { recursive: true, force: true });
mkdirSync(packed, { recursive: true });

const npm = (cwd, ...words) => execFileSync("npm", words, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const [report] = JSON.parse(npm(folder, "pack", "--ignore-scripts", "--json", "--pack-destination", packed));
const names = report.files.map((file) => file.path);
for (const name of ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "package.json", "dist/esm/index.js", "dist/cjs/index.js"]) {
    if (!names.includes(name)) throw new Error(`the package lacks ${name}`);
}
const strange = names.filter((name) => !/^(dist\/(esm|cjs)\/.+|LICENSE-(MIT|APACHE)|README\.md|package\.json)$/.test(name));
if (strange.length > 0) throw new Error(`the package contains ${strange.join(", ")}`);
const tarball = join(packed, report.filename);

const fresh = mkdtempSync(join(tmpdir(), "faas-fresh-"));
try {
    writeFileSync(join(fresh, "package.json"), '{ "private": true }\n');
    npm(fresh, "install", "--offline", "--ignore-scripts", tarball);
    const installed = JSON.parse(npm(fresh, "ls", "--all", "--json")).dependencies;
    if (Object.keys(installed).join() !== "satellite-faas" || installed["satellite-faas"].dependencies !== undefined) {
        throw new Error(`more than the package was installed: ${JSON.stringify(installed)}`);
    }
    const body = `
        const asked = [];
        const fetch = async (url, init) => { asked.push([init.method, url]); return new Response('{"stdout":"hi"}'); };
        const client = new FaaSClient({ endpoint: "https://faas.example.com", fetch });
        client.execute("echo hi").then(({ stdout }) => {
            if (stdout !== "hi" || asked.join() !== "POST,https://faas.example.com/api/v1/execute") throw new Error(asked.join());
            return client.executeFile("use.sh");
        }).then(() => console.log("ok"));
    `;
    writeFileSync(join(fresh, "use.sh"), "echo hi\n");
    writeFileSync(join(fresh, "use.mjs"), `import { FaaSClient } from "satellite-faas";${body}`);
    writeFileSync(join(fresh, "use.cjs"), `const { FaaSClient } = require("satellite-faas");${body}`);
    for (const name of ["use.mjs", "use.cjs"]) {
        const printed = execFileSync(process.execPath, [name], { cwd: fresh, encoding: "utf8" });
        if (printed !== "ok\n") throw new Error(`${name} printed ${printed}`);
    }
    // Types, for both module formats and for bundlers.
    const use = `import { FaaSClient, type ExecutionResult } from "satellite-faas";
        export const result: Promise<ExecutionResult> = new FaaSClient().execute("true");
        // @ts-expect-error -- a number is no script
        void new FaaSClient().execute(7);\n`;
    for (const name of ["types.mts", "types.cts", "types.ts"]) writeFileSync(join(fresh, name), use);
    const tsc = join(folder, "node_modules/typescript/bin/tsc");
    for (const options of [["--module", "nodenext", "types.mts", "types.cts"], ["--module", "esnext", "--moduleResolution", "bundler", "types.ts"]]) {
        execFileSync(process.execPath, [tsc, "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", ...options], { cwd: fresh, stdio: ["ignore", "inherit", "inherit"] });
    }
} finally {
    rmSync(fresh, { recursive: true });
}
console.log(tarball);
