// Settings from the configuration and from the environment.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { afterEach, test } from "node:test";
import { FaaSClient, SettingsError, VERSION } from "satellite-faas";
import { errorOf } from "./mock.js";
import { response, withStub } from "./stub.js";

afterEach(() => {
    for (const name of Object.keys(process.env)) if (name.startsWith("FAAS_")) Reflect.deleteProperty(process.env, name);
});

function problemsOf(build: () => unknown): readonly string[] {
    try {
        build();
    } catch (error) {
        if (error instanceof SettingsError) return error.problems;
        throw error;
    }
    return [];
}

test("a client is built from the environment, which the configuration overrides", async () => {
    assert.equal(new FaaSClient().endpoint, "http://localhost:8080");
    process.env["FAAS_ENDPOINT"] = " https://faas.example.com/base/ ";
    assert.equal(new FaaSClient().endpoint, "https://faas.example.com/base");
    process.env["FAAS_ENDPOINT"] = "";
    assert.equal(new FaaSClient().endpoint, "http://localhost:8080");
    await withStub([response(200, '{"id":"e"}')], async (stub) => {
        Object.assign(process.env, { FAAS_ENDPOINT: stub.url, FAAS_API_KEY: "from-env", FAAS_DIALECT: "SERVER" });
        await new FaaSClient().execute("true");
        await new FaaSClient({ apiKey: "given", dialect: "gateway" }).execute("true");
        assert.match(stub.requests[0] ?? "", /\r\nx-api-key: from-env\r\n/);
        assert.match(stub.requests[1] ?? "", /\r\nauthorization: Bearer given\r\n/);
    });
});

test("one error lists every problem", () => {
    Object.assign(process.env, {
        FAAS_ENDPOINT: "http://faas.example.com",
        FAAS_DIALECT: "latin",
        FAAS_MAX_PARALLEL: "0",
        FAAS_MAX_RETRIES: "many",
        FAAS_REQUEST_TIMEOUT: "soon",
        FAAS_API_KEY: "two words",
        FAAS_CA_FILE: "/ca.pem",
        FAAS_ALLOW_PLAIN_HTTP: "perhaps",
    });
    const problems = problemsOf(() => new FaaSClient());
    const names = problems.map((text) => text.slice(0, text.indexOf(":")));
    assert.deepEqual(names.sort(), [
        "FAAS_ALLOW_PLAIN_HTTP", "FAAS_API_KEY", "FAAS_CA_FILE", "FAAS_DIALECT", "FAAS_ENDPOINT",
        "FAAS_MAX_PARALLEL", "FAAS_MAX_RETRIES", "FAAS_REQUEST_TIMEOUT",
    ]);
    assert.ok(!problems.join().includes("two words"), "the key is not printed");
});

test("an address must not expose the key", () => {
    const isRight = (endpoint: string): boolean => problemsOf(() => new FaaSClient({ endpoint })).length === 0;
    for (const good of ["https://faas.example.com", "http://localhost:1", "http://127.0.0.9", "http://[::1]:80", "HTTPS://X"]) {
        assert.ok(isRight(good), good);
    }
    for (const wrong of ["", "faas.example.com", "ftp://x", "http://10.0.0.1", "https://user:pw@x", "https://x?a", "https://x#a", "https://"]) {
        const problems = problemsOf(() => new FaaSClient({ endpoint: wrong }));
        assert.equal(problems.length, 1, wrong);
        assert.ok(!problems.join().includes("pw"));
    }
    assert.ok(new FaaSClient({ endpoint: "http://10.0.0.1", allowPlainHttp: true }).endpoint);
    process.env["FAAS_ALLOW_PLAIN_HTTP"] = "yes";
    assert.ok(isRight("http://10.0.0.1"));
});

test("times in variables have units or are in seconds", async () => {
    for (const wrong of ["0", "0s", "-1", "5 m", "m", "1d", "1e400", "NaN"]) {
        process.env["FAAS_RETRY_DELAY"] = wrong;
        assert.equal(problemsOf(() => new FaaSClient()).length, 1, wrong);
    }
    for (const good of ["90", "0.5", "90s", "10m", "1h30m", "1.5s", "250ms"]) {
        process.env["FAAS_RETRY_DELAY"] = good;
        assert.deepEqual(problemsOf(() => new FaaSClient()), [], good);
    }
    process.env["FAAS_REQUEST_TIMEOUT"] = "200ms";
    await withStub([() => undefined], async (stub) => {
        assert.ok((await errorOf(new FaaSClient({ endpoint: stub.url }).executions.list())).isTimeout);
    });
});

test("another fetch can be given", async () => {
    const asked: string[] = [];
    const client = new FaaSClient({
        endpoint: "https://faas.example.com",
        fetch: (input, init) => {
            assert.ok(typeof input === "string");
            asked.push(`${init?.method ?? ""} ${input}`);
            return Promise.resolve(new Response('{"id":"e"}'));
        },
    });
    await client.execute("true");
    assert.deepEqual(asked, ["POST https://faas.example.com/api/v1/execute"]);
});

test("the version is the package's", async () => {
    const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
    assert.equal((JSON.parse(text) as { version: string }).version, VERSION);
});
