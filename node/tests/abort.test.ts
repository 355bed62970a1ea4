// Every call can be aborted, at any time.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import type { CallOptions, FaaSClient } from "satellite-faas";
import { errorOf, until } from "./mock.js";
import { response, withStub } from "./stub.js";

type Call = (client: FaaSClient, options: CallOptions) => Promise<unknown>;

const CALLS: Call[] = [
    (c, o) => c.execute("true", o),
    (c, o) => c.executeFile(new File(["true"], "x.sh"), o),
    (c, o) => c.health(o),
    (c, o) => c.executions.run(["true"], "e", o),
    (c, o) => c.executions.runBatch([{ command: "true" }], o),
    (c, o) => c.executions.runBatch([{ command: "true", ...o }]),
    (c, o) => c.executions.stream(["true"], "e", o).next(),
    (c, o) => c.executions.logs("e", o).next(),
    (c, o) => c.executions.list(o),
    (c, o) => c.executions.get("e", o),
    (c, o) => c.executions.cancel("e", o),
    (c, o) => c.environments.list(o),
    (c, o) => c.environments.create({ name: "e", baseImage: "b" }, o),
    (c, o) => c.environments.get("e", o),
    (c, o) => c.environments.update("e", { resources: { cpuCores: 1 } }, o),
    (c, o) => c.environments.delete("e", o),
    (c, o) => c.snapshots.create("e", "n", o),
    (c, o) => c.snapshots.createFromScript("true", "n", o),
    (c, o) => c.snapshots.restore("s", o),
    (c, o) => c.snapshots.restore("s", { branchCount: 2, ...o }),
    (c, o) => c.snapshots.list(o),
    (c, o) => c.snapshots.get("s", o),
    (c, o) => c.snapshots.delete("s", o),
    (c, o) => c.gateway.fork("true", o),
    (c, o) => c.gateway.forkExecution("e", "true", o),
    (c, o) => c.gateway.createInstance("i", "n", o),
    (c, o) => c.gateway.instances(o),
    (c, o) => c.gateway.instance("i", o),
    (c, o) => c.gateway.exec("i", "true", o),
    (c, o) => c.gateway.stopInstance("i", o),
    (c, o) => c.gateway.prewarm("i", 1, o),
    (c, o) => c.gateway.pools(o),
    (c, o) => c.gateway.metrics(o),
];

test("a signal ends each call while the server does not respond", async () => {
    for (const call of CALLS) {
        await withStub([() => undefined], async (stub) => {
            const abort = new AbortController();
            const pending = errorOf(call(stub.client(), { signal: abort.signal }));
            await until(() => stub.requests.length === 1);
            abort.abort(new Error("the user left"));
            let error = await pending;
            if (error.name === "BatchError") error = error.cause as typeof error;
            assert.ok(error.isAborted && error.name === "AbortError", `${String(call)}: ${error.message}`);
            assert.ok(error.isOutcomeUnknown && !error.isRetryable, String(call));
            assert.equal((error.cause as Error).message, "the user left", String(call));
            await until(() => stub.closedEarly >= 1);
            assert.deepEqual(getEventListeners(abort.signal, "abort"), [], `${String(call)} keeps listening`);
        });
    }
});

test("a signal that is already aborted sends nothing", async () => {
    await withStub([response(200, "{}")], async (stub) => {
        for (const call of CALLS) {
            let error = await errorOf(call(stub.client(), { signal: AbortSignal.abort() }));
            if (error.name === "BatchError") error = error.cause as typeof error;
            assert.ok(error.isAborted && !error.isOutcomeUnknown, String(call));
        }
        assert.equal(stub.requests.length, 0);
    });
});

test("a signal ends the wait before a retry", async () => {
    await withStub([response(503, '{"error":"overloaded"}')], async (stub) => {
        const abort = new AbortController();
        const client = stub.client({ retryDelay: 3600, maxRetryDelay: 3600, requestTimeout: 86_400, debug: () => { abort.abort(); } });
        const error = await errorOf(client.executions.list({ signal: abort.signal }));
        assert.ok(error.isAborted && !error.isOutcomeUnknown);
        assert.deepEqual(getEventListeners(abort.signal, "abort"), []);
    });
});

test("the client's signal aborts all of its calls", async () => {
    await withStub([() => undefined], async (stub) => {
        const abort = new AbortController();
        const client = stub.client({ signal: abort.signal });
        const calls = [errorOf(client.executions.list()), errorOf(client.execute("true"))];
        await until(() => stub.requests.length === 2);
        abort.abort();
        for (const error of await Promise.all(calls)) assert.ok(error.isAborted);
    });
});

test("a stream can be aborted, or left, and closes its connection", async () => {
    const begin = `HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\ndata: {"type":"started","request_id":"e"}\n\ndata: {"type":"stdout","data":"one\\n"}\n\n`;
    await withStub([(socket) => socket.write(begin)], async (stub) => {
        const abort = new AbortController();
        const stream = stub.client().executions.stream(["true"], "e", { signal: abort.signal });
        assert.equal((await stream.next()).value, "one\n");
        const pending = errorOf(stream.next());
        abort.abort();
        const error = await pending;
        assert.ok(error.isAborted && !error.isRetryable, error.message);
        await until(() => stub.closedEarly >= 1);
        assert.deepEqual(getEventListeners(abort.signal, "abort"), []);
        assert.deepEqual(await stream.next(), { done: true, value: undefined });
    });
    await withStub([(socket) => socket.write(begin)], async (stub) => {
        for await (const text of stub.client().executions.stream(["true"], "e")) {
            assert.equal(text, "one\n");
            break;
        }
        await until(() => stub.closedEarly >= 1);
        assert.equal(stub.requests.length, 1);
    });
});
