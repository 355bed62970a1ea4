// The built package on other platforms: older and newer Node, Deno, Bun and a browser. The programs
// are found in build/runtimes, where ./test installs them, and in the environment.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { Mock } from "./mock.js";

const folder = fileURLToPath(new URL("../../", import.meta.url));
const runtimes = join(folder, "build/runtimes/node_modules");
const isRequired = process.env["SATELLITE_REQUIRE_RUNTIMES"] === "1";

/** A server with the mock, its control, and the package's files, all under one origin. */
async function host(mock: Mock): Promise<Server> {
    const files: Record<string, string> = { "/checks.mjs": "tests/checks.mjs" };
    const server = createServer((asked, answer) => {
        const path = asked.url ?? "/";
        const fail = (): void => {
            answer.socket?.destroy();
        };
        if (path === "/") {
            answer.setHeader("content-type", "text/html").end("<!doctype html><title>checks</title>");
        } else if (path === "/control") {
            const chunks: Buffer[] = [];
            asked.on("data", (chunk: Buffer) => chunks.push(chunk));
            asked.on("end", () => {
                const command = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
                mock.control(command).then((result) => answer.end(JSON.stringify(result)), fail);
            });
        } else if (path.startsWith("/dist/") || path in files) {
            readFile(join(folder, files[path] ?? path)).then(
                (bytes) => answer.setHeader("content-type", "text/javascript").end(bytes),
                fail,
            );
        } else {
            const { method, headers } = asked;
            const forwarded = request(`${mock.url}${path}`, { method, headers, agent: false }, (reply) => {
                answer.writeHead(reply.statusCode ?? 0, reply.headers);
                reply.on("error", fail).on("aborted", fail).pipe(answer);
            });
            forwarded.on("error", fail);
            answer.on("close", () => forwarded.destroy());
            asked.pipe(forwarded);
        }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server;
}

async function withHost(run: (at: { url: string; key: string; closed: string }) => Promise<string[]>): Promise<string[]> {
    const mock = await Mock.start("contract");
    const [server, closed] = [await host(mock), await host(mock)];
    const urlOf = (one: Server): string => `http://127.0.0.1:${(one.address() as AddressInfo).port}`;
    const at = { url: urlOf(server), key: mock.key, closed: urlOf(closed) };
    await new Promise((resolve) => closed.close(resolve));
    try {
        return await run(at);
    } finally {
        server.closeAllConnections();
        server.close();
        await mock[Symbol.asyncDispose]();
    }
}

/** The lines of the checks: all are ok. Prints the notes, which differ between platforms. */
function assertOk(lines: string[], print: (line: string) => void): void {
    for (const line of lines) if (!/^ok: [^:]*$/.test(line)) print(line);
    assert.deepEqual(lines.filter((line) => !line.startsWith("ok: ")), []);
    assert.equal(lines.length, 12);
}

const programs: [string, string, string[]][] = [
    ["this Node", process.execPath, []],
    ["Node 22", join(runtimes, "node22/bin/node"), []],
    ["Node 24", join(runtimes, "node24/bin/node"), []],
    ["Node 26", join(runtimes, "node26/bin/node"), []],
    // Without the permission to read variables.
    ["Deno", join(runtimes, ".bin/deno"), ["run", "--no-prompt", "--no-config", "--allow-net=127.0.0.1"]],
    ["Bun", join(runtimes, ".bin/bun"), ["run"]],
];

for (const [name, program, options] of programs) {
    const skip = !existsSync(program) && !isRequired && `${program} is not installed`;
    test(`the package works on ${name}`, { skip }, async (context) => {
        const lines = await withHost(async ({ url, key, closed }) => {
            const main = join(folder, "tests/checks-main.mjs");
            const { stdout } = await promisify(execFile)(program, [...options, main, url, key, closed], { timeout: 100_000 });
            return stdout.trim().split("\n");
        });
        assertOk(lines, (line) => {
            context.diagnostic(line);
        });
    });
}

const browser = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const skip = !existsSync(browser) && !isRequired && `${browser} is not installed`;
test("the package works in a browser", { skip }, async (context) => {
    const profile = await mkdtemp(join(tmpdir(), "faas-browser-"));
    const opened = await chromium.launchPersistentContext(profile, {
        executablePath: browser,
        headless: true,
        args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    try {
        const lines = await withHost(async (at) => {
            const page = await opened.newPage();
            await page.goto(at.url);
            return page.evaluate<string[]>(`(async () => {
                const { check } = await import("/checks.mjs");
                return check(await import("/dist/esm/index.js"), ${JSON.stringify({ ...at, resends: true })});
            })()`);
        });
        assertOk(lines, (line) => {
            context.diagnostic(line);
        });
    } finally {
        await opened.close();
        await rm(profile, { recursive: true, force: true });
    }
});
