// The real gateway and the second server: where they deviate from the contract.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMerged } from "satellite-faas";
import { errorOf, Mock, withMock } from "./mock.js";

test("an exit code is had from the shell where the gateway answers 0", withMock("gateway", async (mock) => {
    const client = mock.client();
    const script = "echo out; echo err >&2; exit 7";
    const plain = await client.execute(script);
    assert.equal(plain.exitCode, 0, "the gateway quirk that this test is about");
    assert.ok(isMerged(plain));
    const result = await client.execute(script, { checked: true });
    assert.deepEqual([result.exitCode, result.status], [7, "error"]);
    assert.equal(result.stdout.length, "out\nerr\n".length, "the marker is removed");
    assert.equal(result.extra["output"], result.stdout);
    assert.ok(!JSON.stringify(result).includes("exit-"));
    assert.equal((await client.executions.run(["sh", "-c", "exit 3"], "alpine", { checked: true })).exitCode, 3);
    // A shell that did not report its exit code is not a success.
    assert.match((await errorOf(client.execute("kill -9 $$", { checked: true }))).message, /exit code/);
    const honest = await Mock.start("contract");
    assert.equal((await honest.client().execute(script, { checked: true })).exitCode, 7);
    await honest[Symbol.asyncDispose]();
}));

test("the shell changes into a directory that the gateway ignores", withMock("gateway", async (mock) => {
    const client = mock.client();
    assert.notEqual((await client.execute("pwd", { workingDir: "/" })).stdout, "/\n", "the gateway quirk");
    assert.equal((await client.execute("pwd", { workingDir: "/", checked: true })).stdout, "/\n");
    assert.equal((await client.execute("pwd", { workingDir: "/none", checked: true })).exitCode, 125);
}));

test("the client enforces a time limit that the gateway ignores", withMock("gateway", async (mock) => {
    const began = Date.now();
    const error = await errorOf(mock.client().execute("sleep 30", { timeout: 1 }));
    assert.ok(Date.now() - began >= 1_000);
    assert.ok(Date.now() - began < 20_000, "before the command ended");
    assert.ok(error.isTimeout && error.isOutcomeUnknown, error.message);
    assert.ok(!error.isRetryable, "the work may still run");
    assert.match(error.message, /^POST \/api\/v1\/execute at http.*: no result within 1 s: the work may still run$/);
    assert.equal((await mock.report()).executions, 1, "it was sent once and keeps running");
}));

test("missing routes are unsupported and named", withMock("gateway", async (mock) => {
    const { executions, environments, snapshots, gateway } = mock.client();
    const missing: [string, () => Promise<unknown>][] = [
        ["GET /api/v1/executions", () => executions.list()],
        ["GET /api/v1/executions/e", () => executions.get("e")],
        ["DELETE /api/v1/executions/e", () => executions.cancel("e")],
        ["GET /api/v1/executions/e/logs", () => executions.logs("e").next()],
        ["GET /api/v1/environments", () => environments.list()],
        ["POST /api/v1/environments", () => environments.create({ name: "e", baseImage: "alpine" })],
        ["GET /api/v1/environments/e", () => environments.get("e")],
        ["PUT /api/v1/environments/e", () => environments.update("e", { baseImage: "alpine" })],
        ["DELETE /api/v1/environments/e", () => environments.delete("e")],
        ["GET /api/v1/snapshots/s", () => snapshots.get("s")],
        ["DELETE /api/v1/snapshots/s", () => snapshots.delete("s")],
        ["POST /api/v1/snapshots/s/branch", () => snapshots.restore("s", { branchCount: 2 })],
        ["GET /api/v1/instances/i", () => gateway.instance("i")],
        ["POST /api/v1/instances/i/exec", () => gateway.exec("i", "true")],
    ];
    for (const [route, call] of missing) {
        const error = await errorOf(call());
        assert.ok(error.isUnsupported && !error.isNotFound, error.message);
        assert.ok(error.message.startsWith(route), error.message);
        assert.match(error.message, /this server does not support the route/);
        assert.ok(!error.isRetryable && !error.isOutcomeUnknown);
    }
}));

test("a server without streaming returns all output at once", withMock("gateway", async (mock) => {
    const stream = mock.client().executions.streamEvents("echo one; echo two", undefined);
    const all = [];
    for await (const event of stream) all.push(event);
    assert.deepEqual(all, [{ type: "stdout", text: "one\ntwo\n" }, { type: "exit", code: 0 }]);
}));

test("a 500 without a reason is told as such, and is not sent again", withMock("gateway", async (mock) => {
    for (const options of [{ environment: "no-such-image:latest" }, { runtime: "firecracker" }, { mode: "branched" }]) {
        const error = await errorOf(mock.client().execute("true", options));
        assert.equal(error.status, 500);
        assert.match(error.message, /gave no reason/);
        assert.ok(error.isOutcomeUnknown && !error.isRetryable);
    }
    assert.equal(await mock.count("POST", "/execute"), 3);
}));

test("a checkpointed execution that did not run is an error", withMock("gateway", async (mock) => {
    const client = mock.client();
    const error = await errorOf(client.execute("echo hi", { mode: "checkpointed" }));
    assert.ok(error.isUnsupported);
    assert.match(error.message, /without running/);
    assert.ok((await errorOf(client.executions.stream(["true"], undefined, { mode: "checkpointed" }).next())).isSettings);
    assert.ok((await errorOf(client.snapshots.createFromScript("exit 9", "bad"))).isUnsupported);
    assert.deepEqual(await client.snapshots.list(), []);
}));

test("the gateway's additional routes work", withMock("gateway", async (mock) => {
    const client = mock.client();
    const { gateway } = client;
    const none = await errorOf(gateway.fork("echo hi"));
    assert.ok(none.isUnsupported && none.message.includes("no variant ran"), none.message);
    const parent = await client.execute("echo parent > state");
    assert.equal((await gateway.forkExecution(parent.requestId, "cat state")).stdout, "parent\n");
    const made = await gateway.createInstance("alpine:latest", "mine");
    assert.equal((await gateway.instances())[0]?.id, made.id);
    await gateway.stopInstance(made.id);
    await gateway.prewarm("alpine:latest", 3, { runtime: "auto" });
    assert.deepEqual(await gateway.pools(), ["alpine:latest"]);
    assert.equal(((await gateway.metrics()) as { total_requests: number }).total_requests, 1);
    const snapshot = await client.snapshots.create("anything");
    const branch = await client.snapshots.restore(snapshot.id);
    assert.equal((await branch.execute("echo in a branch")).stdout, "in a branch\n");
    const { requests } = await mock.report();
    const bodies = requests.filter((one) => /\/(restore|stop)$/.test(one.path)).map((one) => one.body);
    assert.deepEqual(bodies, ["", ""], "routes without a body are sent none");
}));

test("the second server is called in its dialect", withMock("server", async (mock) => {
    const client = mock.client();
    assert.equal((await client.executions.run(["printenv", "A"], undefined, { envVars: { A: "b=c" } })).stdout, "b=c\n");
    assert.equal((await client.execute("echo $((1 + 1))")).stdout, "2\n");
    const { requests } = await mock.report();
    assert.deepEqual((JSON.parse(requests[1]?.body ?? "") as { command: unknown }).command, ["sh", "-c", "echo $((1 + 1))"]);
    assert.ok(requests.every((one) => !one.authorization));
    // Every error response is a 400: its code says what went wrong.
    const error = await errorOf(mock.client({ apiKey: "x" }).execute("true"));
    assert.deepEqual([error.status, error.isUnauthorized], [400, true]);
    assert.ok((await errorOf(client.executions.get("exec-9"))).isNotFound);
    await mock.control({ limit_rate: 2 });
    await client.environments.list();
    await mock.control({ limit_rate: 1 });
    assert.equal((await client.execute("true")).status, "success", "the rejected request was sent again");
    await mock.control({ limit_rate: 1 });
    const limited = await errorOf(mock.client({ maxRetries: 0 }).execute("true"));
    assert.ok(limited.isRateLimited && limited.isRetryable && !limited.isOutcomeUnknown);
}));
