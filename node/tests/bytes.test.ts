// Each byte that is sent, and what each answer means.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type FaaSClient, VERSION } from "satellite-faas";
import { errorOf } from "./mock.js";
import { response, type Stub, withStub } from "./stub.js";

/** A request of Node's `fetch`, byte by byte. */
function expected(stub: Stub, line: string, body: string | undefined, key = "authorization: Bearer key-1\r\n"): string {
    const length = body === undefined ? (line.startsWith("POST") ? "content-length: 0\r\n" : "") : `content-length: ${Buffer.byteLength(body)}\r\n`;
    return [
        `${line} HTTP/1.1\r\n`,
        `host: ${stub.host}\r\n`,
        "connection: keep-alive\r\n",
        body === undefined ? "" : "content-type: application/json\r\n",
        `user-agent: satellite-faas/${VERSION}\r\n`,
        key,
        "accept: */*\r\n",
        "accept-language: *\r\n",
        "sec-fetch-mode: cors\r\n",
        "pragma: no-cache\r\n",
        "cache-control: no-cache\r\n",
        "accept-encoding: gzip, deflate\r\n",
        length,
        "\r\n",
        body ?? "",
    ].join("");
}

/** A request with its header fields in sorted order: `fetch` may send them in another. */
function sorted(request: string): string {
    const end = request.indexOf("\r\n\r\n");
    const [line, ...fields] = request.slice(0, end).split("\r\n");
    return [line, ...fields.sort()].join("\r\n") + request.slice(end);
}

const RESULT = response(200, '{"request_id":"e-1","exit_code":0,"stdout":"hi\\n","stderr":"","duration_ms":1500}');
const NAMED = response(200, '{"id":"i","name":"n"}');
const NONE = response(204, "");

test("each call sends these bytes, once", async () => {
    const options = {
        environment: "python-ai",
        timeout: 2.5,
        envVars: { B: "2", A: 'é"\\\u0001' },
        workingDir: "/srv",
        resources: { cpuCores: 2, memoryMb: 64 },
        runtime: "auto",
        mode: "cached",
        cacheKey: "k",
        snapshotId: "s",
    };
    const full =
        '"cpu_cores":2,"env_vars":[["A","é\\"\\\\\\u0001"],["B","2"]],"image":"python-ai","memory_mb":64,"mode":"cached","runtime":"auto","snapshot_id":"s","timeout_ms":2500,"working_dir":"/srv"}';
    const plain = '"env_vars":[],"timeout_ms":30000}';
    const calls: [(client: FaaSClient) => Promise<unknown>, string, string, string?][] = [
        [(c) => c.execute("echo hi"), RESULT, "POST /api/v1/execute", `{"command":"echo hi",${plain}`],
        [(c) => c.execute("true", options), RESULT, "POST /api/v1/execute", `{"cache_key":"k","command":"true",${full}`],
        [(c) => c.executions.run(["a b", "c"], "e"), RESULT, "POST /api/v1/execute", `{"command":"'a b' c","env_vars":[],"image":"e","timeout_ms":30000}`],
        [(c) => c.execute("cat", { stdin: "-1%\n" }), RESULT, "POST /api/v1/execute", `{"command":"printf '\\\\0551%%\\n' | (\\ncat\\n)",${plain}`],
        [(c) => c.executions.stream(["true"], undefined).next(), RESULT, "POST /api/v1/execute?stream=true", `{"command":"true",${plain}`],
        [(c) => c.executions.list(), response(200, "[]"), "GET /api/v1/executions"],
        [(c) => c.executions.get("a/b ?#%é"), response(200, '{"id":"i","status":"new"}'), "GET /api/v1/executions/a%2Fb%20%3F%23%25%C3%A9"],
        [(c) => c.executions.cancel("e"), NONE, "DELETE /api/v1/executions/e"],
        [(c) => c.executions.logs("e").next(), response(200, ""), "GET /api/v1/executions/e/logs?follow=false"],
        [(c) => c.environments.list(), response(200, "[]"), "GET /api/v1/environments"],
        [(c) => c.environments.create({ name: "n", baseImage: "b", layers: [1], features: { f: true }, cacheStrategy: "c", resources: { cpuCores: 0.5 } }), NAMED, "POST /api/v1/environments",
            '{"base_image":"b","cache_strategy":"c","features":{"f":true},"layers":[1],"name":"n","resources":{"cpu_cores":0.5}}'],
        [(c) => c.environments.get("n"), NAMED, "GET /api/v1/environments/n"],
        [(c) => c.environments.update("n", { baseImage: "b" }), NAMED, "PUT /api/v1/environments/n", '{"base_image":"b"}'],
        [(c) => c.environments.delete("n"), NONE, "DELETE /api/v1/environments/n"],
        [(c) => c.snapshots.create("e", "n"), NAMED, "POST /api/v1/snapshots", '{"container_id":"e","name":"n"}'],
        [(c) => c.snapshots.create("e"), NAMED, "POST /api/v1/snapshots", '{"container_id":"e"}'],
        [(c) => c.snapshots.list(), response(200, "[]"), "GET /api/v1/snapshots"],
        [(c) => c.snapshots.get("s"), NAMED, "GET /api/v1/snapshots/s"],
        [(c) => c.snapshots.restore("s"), NAMED, "POST /api/v1/snapshots/s/restore"],
        [(c) => c.snapshots.restore("s", { branchCount: 1 }), response(200, '[{"id":"b"}]'), "POST /api/v1/snapshots/s/branch", '{"count":1}'],
        [(c) => c.snapshots.delete("s"), NONE, "DELETE /api/v1/snapshots/s"],
        [(c) => c.gateway.createInstance("i"), NAMED, "POST /api/v1/instances", '{"image":"i","name":null}'],
        [(c) => c.gateway.prewarm("i", 2), response(200, ""), "POST /api/v1/prewarm", '{"count":2,"image":"i"}'],
        [(c) => c.gateway.stopInstance("i"), NONE, "POST /api/v1/instances/i/stop"],
    ];
    for (const [call, answer, line, body] of calls) {
        await withStub([answer], async (stub) => {
            await call(stub.client());
            assert.deepEqual(stub.requests.map(sorted), [sorted(expected(stub, line, body))]);
        });
    }
});

test("the second dialect and a client without a key send these bytes", async () => {
    await withStub([RESULT], async (stub) => {
        await stub.client({ dialect: "server" }).execute("true", { envVars: { A: "b=c" } });
        const body = '{"command":["sh","-c","true"],"env_vars":["A=b=c"],"timeout_ms":30000}';
        assert.equal(sorted(stub.requests[0] ?? ""), sorted(expected(stub, "POST /api/v1/execute", body, "x-api-key: key-1\r\n")));
    });
    await withStub([RESULT], async (stub) => {
        await stub.client({ apiKey: "" }).execute("true");
        assert.ok(!stub.requests[0]?.includes("authorization"));
    });
    await withStub([response(200, '{"status":"healthy"}')], async (stub) => {
        await stub.client().health();
        assert.equal(sorted(stub.requests[0] ?? ""), sorted(expected(stub, "GET /health", undefined, "")));
    });
});

test("unknown and null fields are kept or ignored, other types are an error", async () => {
    const body = '{"id":"e-1","status":"completed","stdout":null,"new":{"a":1},"error":null,"cached":null}';
    await withStub([response(200, body)], async (stub) => {
        const result = await stub.client().execute("true");
        assert.deepEqual(result, {
            requestId: "e-1", status: "success", stdout: "", stderr: "", duration: 0, cached: false, extra: { new: { a: 1 } },
        });
    });
    for (const [answer, text] of [
        ['{"stdout":7}', "answered 200, but expected a string at stdout"],
        ["[]", "answered 200, but expected an object"],
        ["<html>Sign in</html>", 'answered 200, but the body is not JSON; it starts with "<html>Sign in</html>"'],
        ["", 'answered 200, but the body is not JSON; it starts with ""'],
    ] as const) {
        await withStub([response(200, answer)], async (stub) => {
            const error = await errorOf(stub.client().execute("true"));
            assert.equal(error.message, `POST /api/v1/execute at ${stub.url}: ${text}`);
            assert.ok(!error.isRetryable);
        });
    }
    await withStub([response(200, '[{"id":"a","status":"x"},{"id":7}]')], async (stub) => {
        assert.match((await errorOf(stub.client().executions.list())).message, /expected a string at \[1\]\.id$/);
    });
    await withStub([response(200, '{"exit_code":0,"error":"timed out after 1s"}')], async (stub) => {
        assert.equal((await stub.client().execute("true")).status, "timeout");
    });
});

test("a redirect is not followed, so the key stays with its server", async () => {
    await withStub([response(200, "[]")], async (elsewhere) => {
        const location = { location: `${elsewhere.url}/api/v1/executions?token=1` };
        await withStub([response(307, "", location)], async (stub) => {
            const error = await errorOf(stub.client().executions.list());
            const place = `${elsewhere.url}/api/v1/executions`;
            assert.equal(error.message, `GET /api/v1/executions at ${stub.url}: answered 307: redirects to ${place}, which is not followed`);
            assert.deepEqual([error.status, error.isRetryable, elsewhere.requests.length], [307, false, 0]);
        });
    });
});

test("a response larger than the limit is an error", async () => {
    await withStub([response(200, JSON.stringify({ stdout: "x".repeat(33 << 20) }))], async (stub) => {
        const error = await errorOf(stub.client().execute("true"));
        assert.match(error.message, /the response is larger than 32 MiB$/);
        assert.ok(error.isOutcomeUnknown && !error.isRetryable);
    });
});

test("the key is in no error and in no property", async () => {
    const key = "hush-hush-hush";
    const body = JSON.stringify({ error: `no such key: ${key}`, code: "UNAUTHORIZED" });
    await withStub([response(401, body)], async (stub) => {
        const client = stub.client({ apiKey: key });
        const error = await errorOf(client.executions.get(key));
        const { inspect } = await import("node:util");
        const shown = [error.message, error.stack, JSON.stringify(error), inspect(error, { depth: 9, showHidden: true }), inspect(client, { depth: 9, showHidden: true }), JSON.stringify(client)].join("\n");
        assert.ok(error.isUnauthorized);
        assert.match(error.message, /answered 401 UNAUTHORIZED: no such key: \*\*\*/);
        assert.ok(!shown.includes(key), shown);
    });
});
