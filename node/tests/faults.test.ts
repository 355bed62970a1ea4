// Faults: what is sent again, what is not, and what an error says about it.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from "undici";
import { ERROR_NAMES } from "./names.js";
import { FaaSClient, FaaSError } from "satellite-faas";
import { errorOf, until, withMock } from "./mock.js";
import { response, withStub } from "./stub.js";

const RESULT = response(200, '{"request_id":"e-1","exit_code":0,"stdout":"hi\\n"}');

test("an execution with a lost response is sent once and found in the list", withMock("contract", async (mock) => {
    const client = mock.client();
    await mock.fault("POST", "/execute", "done_but_no_answer");
    const error = await errorOf(client.execute("echo only once"));
    assert.ok(error.isOutcomeUnknown && !error.isRetryable, error.message);
    assert.match(error.message, /^POST \/api\/v1\/execute at http:.*: the connection was lost/);
    assert.equal((await mock.report()).executions, 1);
    const found = (await client.executions.list())[0];
    assert.deepEqual([found?.command, found?.exitCode], ["echo only once", 0]);
}));

test("what may be sent again is decided by the effect of the call and by the answer", async () => {
    const own = '{"error":"overloaded"}';
    const cases: [number, string, "create" | "read", "sent again" | "unknown" | "final"][] = [
        [429, "", "create", "sent again"],
        [503, own, "create", "sent again"],
        [400, '{"error":"slow down","code":"RATE_LIMIT_EXCEEDED"}', "create", "sent again"],
        [503, "", "create", "unknown"],
        [500, own, "create", "unknown"],
        [502, "<html>", "create", "unknown"],
        [504, own, "create", "unknown"],
        [408, own, "create", "unknown"],
        [400, own, "create", "final"],
        [401, own, "create", "final"],
        [404, own, "create", "final"],
        [409, own, "create", "final"],
        [422, own, "create", "final"],
        [501, own, "create", "final"],
        [500, own, "read", "sent again"],
        [502, "", "read", "sent again"],
        [429, "", "read", "sent again"],
        [404, "", "read", "final"],
        [505, "", "read", "final"],
    ];
    for (const [status, body, op, outcome] of cases) {
        const good = op === "create" ? RESULT : response(200, "[]");
        await withStub([response(status, body), good], async (stub) => {
            const client = stub.client();
            const call = op === "create" ? client.execute("true") : client.executions.list();
            const what = `${status} ${body} ${op}`;
            if (outcome === "sent again") {
                await call;
                assert.equal(stub.requests.length, 2, what);
                return;
            }
            const error = await errorOf(call);
            assert.equal(stub.requests.length, 1, what);
            assert.equal(error.isOutcomeUnknown, outcome === "unknown", what);
            assert.equal(error.isRetryable, false, what);
            assert.equal(error.status, status);
        });
    }
});

test("a call that was never sent is sent again, also a create", async () => {
    // A free port, on which a server starts only after the first attempt.
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const lines: string[] = [];
    const client = new FaaSClient({
        endpoint: `http://127.0.0.1:${port}`,
        retryDelay: 0.05,
        debug: (line) => lines.push(line),
    });
    const call = client.execute("true");
    await until(() => lines.length > 0);
    const { createServer: http } = await import("node:http");
    const late = http((_, answer) => answer.end('{"request_id":"late"}')).listen(port, "127.0.0.1");
    assert.equal((await call).requestId, "late");
    late.close();
    late.closeAllConnections();
    assert.match(lines[0] ?? "", /^POST \/api\/v1\/execute at .*: cannot connect: .*ECONNREFUSED.*; retrying in \d+ ms$/);

    const once = new FaaSClient({ endpoint: `http://127.0.0.1:${port}`, maxRetries: 0 });
    const refused = await errorOf(once.execute("true"));
    assert.ok(refused.isConnect && refused.isRetryable && !refused.isOutcomeUnknown, refused.message);
    const nowhere = new FaaSClient({ endpoint: "https://no-such-host.invalid", maxRetries: 0 });
    const unresolved = await errorOf(nowhere.execute("true"));
    assert.ok(unresolved.isConnect && !unresolved.isOutcomeUnknown, unresolved.message);
    assert.equal(unresolved.message, "POST /api/v1/execute at https://no-such-host.invalid: cannot resolve the host name");
});

test("a server that does not speak TLS is named, and nothing was sent", async () => {
    const plain = createServer((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    const { port } = plain.address() as { port: number };
    const error = await errorOf(new FaaSClient({ endpoint: `https://127.0.0.1:${port}` }).execute("true"));
    assert.ok(error.isConnect && !error.isRetryable && !error.isOutcomeUnknown, error.message);
    assert.match(error.message, /no trusted connection/);
    plain.close();
});

test("a lost connection: a read is sent again, a create is not", withMock("contract", async (mock) => {
    for (const fault of ["reset", "drop", "half_body"]) {
        await mock.fault("GET", "/executions", fault);
        assert.deepEqual(await mock.client().executions.list(), [], fault);
        await mock.fault("POST", "/execute", fault);
        const error = await errorOf(mock.client().execute("true"));
        assert.ok(error.isOutcomeUnknown && !error.isRetryable && !error.isTimeout, `${fault}: ${error.message}`);
    }
    assert.equal((await mock.report()).executions, 0);
}));

test("Retry-After is honoured", withMock("contract", async (mock) => {
    await mock.fault("POST", "/execute", { status: 429, retry_after: 1 });
    const began = Date.now();
    assert.equal((await mock.client({ maxRetryDelay: 5 }).execute("true")).status, "success");
    assert.ok(Date.now() - began >= 1_000);
    await mock.fault("POST", "/execute", { status: 503, retry_after: 7 });
    const error = await errorOf(mock.client({ maxRetries: 0 }).execute("true"));
    assert.equal(error.retryAfter, 7);
}));

test("a call ends at its time limit, with its retries", async () => {
    await withStub([response(503, '{"error":"overloaded"}')], async (stub) => {
        const error = await errorOf(stub.client({ requestTimeout: 0.3 }).executions.list());
        // The limit may also end the last attempt.
        assert.ok(error.status === 503 || error.isTimeout, error.message);
        assert.ok(stub.requests.length > 2);
    });
    await withStub([() => undefined], async (stub) => {
        const error = await errorOf(stub.client({ requestTimeout: 0.2 }).executions.list());
        assert.ok(error.isTimeout && error.isRetryable, error.message);
        assert.match(error.message, /^GET \/api\/v1\/executions at .*: no complete response within 0\.\d+ s$/);
    });
});

test("an execution may take longer than the platform's own time limits", async () => {
    const before = getGlobalDispatcher();
    setGlobalDispatcher(new Agent({ headersTimeout: 200, bodyTimeout: 200 }));
    try {
        await withStub([(socket) => setTimeout(() => socket.end(RESULT), 2_500)], async (stub) => {
            await assert.rejects(fetch(`${stub.url}/plain`), "the limit that this test is about");
            assert.equal((await stub.client().execute("sleep 2")).stdout, "hi\n");
        });
    } finally {
        setGlobalDispatcher(before);
    }
});

test("a stream without data ends at the idle timeout, and is resumed from the log", async () => {
    const head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n";
    const event = (fields: object): string => `data: ${JSON.stringify(fields)}\n\n`;
    const first = `${head}: hello\n\n${event({ type: "started", request_id: "e 1" })}${event({ type: "stdout", data: "one\n" })}data: {"type":`;
    const log = `${head}${event({ type: "stdout", data: "one\n" })}${event({ type: "heartbeat" })}${event({ type: "stdout", data: "two\n" })}${event({ type: "exit", code: 4 })}`;
    await withStub([(socket) => socket.write(first), log], async (stub) => {
        const stream = stub.client({ idleTimeout: 0.2 }).executions.stream(["true"], undefined);
        const texts: string[] = [];
        let next = await stream.next();
        for (; next.done !== true; next = await stream.next()) texts.push(next.value);
        assert.deepEqual([texts, next.value], [["one\n", "two\n"], 4]);
        assert.deepEqual(stub.requests.map((one) => one.split(" HTTP")[0]), ["POST /api/v1/execute?stream=true", "GET /api/v1/executions/e%201/logs?follow=true"]);
    });
    // Without the id of the execution, there is no log to ask for, and nothing may be sent again.
    await withStub([`${head}${event({ type: "stdout", data: "one\n" })}`], async (stub) => {
        const stream = stub.client().executions.stream(["true"], undefined);
        assert.equal((await stream.next()).value, "one\n");
        const error = await errorOf(stream.next());
        assert.match(error.message, /the stream ended before the execution did$/);
        assert.ok(!error.isRetryable && error.isOutcomeUnknown);
        assert.equal(stub.requests.length, 1);
    });
});

test("events do not depend on how the body is split", async () => {
    const text = "é€😀 and a line\r\n";
    const body = Buffer.from(
        `data: ${JSON.stringify({ type: "stdout", data: text })}\r\n\r\ndata: ${JSON.stringify({ type: "exit", code: 0 })}\r\n\r\n`,
    );
    for (const size of [1, 3, 7]) {
        const answer = (socket: import("node:net").Socket): void => {
            void (async () => {
                socket.setNoDelay(true);
                socket.write("HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n");
                for (let at = 0; at < body.length; at += size) {
                    socket.write(body.subarray(at, at + size));
                    await new Promise((resolve) => setImmediate(resolve));
                }
                socket.end();
            })();
        };
        await withStub([answer], async (stub) => {
            const stream = stub.client().executions.stream(["true"], undefined);
            assert.deepEqual(await stream.next(), { done: false, value: text });
            assert.deepEqual(await stream.next(), { done: true, value: 0 });
        });
    }
});

test("a class and a name for each error, also across two copies of the package", async () => {
    const { createRequire } = await import("node:module");
    const other = createRequire(import.meta.url)("satellite-faas") as typeof import("satellite-faas");
    assert.notEqual(other.FaaSError, FaaSError, "two copies");
    assert.ok(FaaSError.is(new other.SettingsError(["x: y"])));
    assert.ok(!FaaSError.is(new Error("x")) && !FaaSError.is(null));
    for (const [name, type] of ERROR_NAMES) {
        const error = new type("text", { request: "GET / at http://h" });
        assert.deepEqual([error.name, error.message], [name, "GET / at http://h: text"]);
        assert.ok(error instanceof FaaSError && error instanceof Error);
        assert.ok(String(error.stack).startsWith(`${name}: `), error.stack);
    }
});
