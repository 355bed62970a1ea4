// Every operation, against a server that implements the contract and really runs the commands.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BatchError, Branch, ensureSuccess, type ExecutionResult, ExecutionFailedError, isMerged, type OutputEvent } from "satellite-faas";
import { errorOf, until, withMock } from "./mock.js";

test("a command runs and returns its result", withMock("contract", async (mock) => {
    const client = mock.client();
    const result = await client.execute("echo out; echo err >&2; exit 7");
    assert.equal(result.stdout, "out\n");
    assert.equal(result.stderr, "err\n");
    assert.equal(result.exitCode, 7);
    assert.equal(result.status, "error");
    assert.equal(result.cached, false);
    assert.match(result.requestId, /^exec-/);
    assert.ok(result.duration >= 0 && result.duration < 60, "seconds");
    assert.equal(isMerged(result), false);
    assert.throws(() => ensureSuccess(result), (error: unknown) => {
        assert.ok(error instanceof ExecutionFailedError);
        assert.match(error.message, /exit code 7/);
        assert.match(error.message, /err$/);
        return true;
    });
    const words = await client.executions.run(["printf", "%s|", "a b", "it's", "$HOME", ""], "alpine-fast");
    assert.equal(words.stdout, "a b|it's|$HOME||");
    assert.equal(ensureSuccess(words), words);
}));

test("every option is sent", withMock("contract", async (mock) => {
    const result = await mock.client().executions.run(["sh", "-c", "cat; echo $GREETING"], "python-ai", {
        timeout: 4.5,
        envVars: { GREETING: "it's €" },
        stdin: "line\n100%\\\0end",
        resources: { memoryMb: 512, cpuCores: 2 },
        runtime: "docker",
        mode: "ephemeral",
        cacheKey: "key",
    });
    assert.equal(result.stdout, "line\n100%\\\0endit's €\n");
    const body = JSON.parse((await mock.report()).requests[0]?.body ?? "") as Record<string, unknown>;
    assert.deepEqual(
        { ...body, command: undefined },
        {
            command: undefined,
            image: "python-ai",
            timeout_ms: 4500,
            env_vars: [["GREETING", "it's €"]],
            memory_mb: 512,
            cpu_cores: 2,
            runtime: "docker",
            mode: "ephemeral",
            cache_key: "key",
        },
    );
    const wrong = [
        () => mock.client().execute("  "),
        () => mock.client().execute("true", { envVars: { "A=B": "" } }),
        () => mock.client().execute("true", { timeout: 0 }),
        () => mock.client().execute("true", { timeout: NaN }),
        () => mock.client().execute("a\0b"),
        () => mock.client().execute("true", { stdin: new Uint8Array(30_000).fill(255) }),
        () => mock.client().execute("true", { resources: { cpuCores: 1.5 } }),
        () => mock.client().executions.get(".."),
        () => mock.client().environments.delete(""),
    ];
    for (const call of wrong) assert.ok((await errorOf(call())).isSettings);
    assert.equal((await mock.report()).requests.length, 1, "an invalid request was sent");
}));

test("every byte reaches the standard input unchanged", withMock("contract", async (mock) => {
    const stdin = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const result = await mock.client().execute("od -An -v -tu1", { stdin });
    const bytes = result.stdout.trim().split(/\s+/).map(Number);
    assert.deepEqual(bytes, Array.from(stdin));
}));

test("a file is run according to its extension", withMock("contract", async (mock) => {
    const folder = await mkdtemp(join(tmpdir(), "faas-file-"));
    try {
        const script = join(folder, "script.sh");
        await writeFile(script, "#!/bin/sh\necho \"it's $((6 * 7))\"\n");
        assert.equal((await mock.client().executeFile(script)).stdout, "it's 42\n");
        const program = join(folder, "program.mjs");
        await writeFile(program, "console.log(6 * 7)");
        assert.equal((await mock.client().executeFile(program)).stdout, "42\n");
        const file = new File(["echo from a File"], "script.sh");
        assert.equal((await mock.client().executeFile(file)).stdout, "from a File\n");
        const missing = await errorOf(mock.client().executeFile(join(folder, "none")));
        assert.match(missing.message, /none cannot be run: .*ENOENT/);
        const large = join(folder, "large.sh");
        await writeFile(large, "#".repeat(97 * 1024));
        assert.match((await errorOf(mock.client().executeFile(large))).message, /more than 98304 bytes/);
        await writeFile(large, Uint8Array.of(0xff, 0xfe));
        assert.match((await errorOf(mock.client().executeFile(large))).message, /cannot be run/);
    } finally {
        await rm(folder, { recursive: true });
    }
}));

test("a batch is bounded, ordered, and survives failures", withMock("contract", async (mock) => {
    const client = mock.client({ maxParallel: 3 });
    const requests = Array.from({ length: 12 }, (_, n) => ({
        command: n === 4 ? ["echo", "4"] : `sleep 0.0${9 - (n % 10)}; echo ${n}; exit ${n % 2}`,
    }));
    const results = await client.executions.runBatch(requests);
    assert.deepEqual(results.map((one) => one.stdout), Array.from({ length: 12 }, (_, n) => `${n}\n`));
    const { most_at_once: most } = await mock.report();
    assert.ok(most >= 2 && most <= 3, String(most));

    const failing = requests.map((one, n) => (n === 5 ? { ...one, environment: "no-such-environment" } : one));
    const error = await errorOf(client.executions.runBatch(failing));
    assert.ok(error instanceof BatchError);
    assert.match(error.message, /^1 of 12 executions failed; the first: POST \/api\/v1\/execute at .*404/);
    assert.deepEqual(error.results.map((one) => one.status === "fulfilled"), failing.map((_, n) => n !== 5));
    assert.equal((error.results[7] as PromiseFulfilledResult<ExecutionResult>).value.stdout, "7\n");
    assert.deepEqual(await client.executions.runBatch([]), []);
}));

test("a server that supports time limits enforces them", withMock("contract", async (mock) => {
    const result = await mock.client().execute("echo begun; sleep 30", { timeout: 4 });
    assert.equal(result.status, "timeout");
    assert.equal(result.stdout, "begun\n");
}));

test("environments are created, updated and deleted", withMock("contract", async (mock) => {
    const { environments } = mock.client();
    const config = {
        name: "my-env",
        baseImage: "rust:latest",
        layers: [{ run: "cargo install just" }],
        resources: { cpuCores: 2, memoryMb: 4096 },
        cacheStrategy: "aggressive",
        features: { network: false },
    };
    const made = await environments.create(config);
    assert.deepEqual({ ...made, id: "", extra: {} }, { id: "", extra: {}, ...config });
    assert.ok((await errorOf(environments.create(config))).isConflict);
    assert.equal((await environments.list()).length, 4);
    await environments.update("my-env", { baseImage: "rust:1.90" });
    const changed = await environments.update("my-env", { resources: { memoryMb: 512 }, features: { gpu: true } });
    assert.equal(changed.baseImage, "rust:1.90");
    assert.deepEqual(changed.resources, { cpuCores: 2, memoryMb: 512 }, "the CPU is kept");
    assert.deepEqual(changed.features, { network: false, gpu: true });
    assert.deepEqual((await environments.get("my-env")).layers, config.layers);
    assert.equal((await mock.client().execute("true", { environment: "my-env" })).status, "success");

    await mock.fault("DELETE", "my-env", "done_but_no_answer");
    assert.equal(await environments.delete("my-env"), true, "deleted, and the response was lost");
    assert.equal(await environments.delete("my-env"), false, "there is none");
    for (const call of [() => environments.get("my-env"), () => environments.update("my-env", { features: { a: true } })]) {
        const error = await errorOf(call());
        assert.ok(error.isNotFound && !error.isUnsupported, error.message);
        assert.equal(error.code, "NOT_FOUND");
    }
}));

test("branches of a snapshot have separate state", withMock("contract", async (mock) => {
    const client = mock.client();
    const { snapshots } = client;
    const base = await snapshots.createFromScript("echo base > state", "base");
    assert.equal(base.name, "base");
    assert.ok(base.executionId !== undefined && base.createdAt !== undefined && base.sizeBytes !== undefined);
    const branches = await snapshots.restore(base.id, { branchCount: 4 });
    await Promise.all(
        branches.map(async (branch, n) => {
            await branch.execute(`echo ${n} >> state`);
            assert.equal((await branch.execute(["cat", "state"])).stdout, `base\n${n}\n`);
        }),
    );
    const one = await snapshots.restore(base.id);
    assert.ok(one instanceof Branch);
    assert.equal((await one.execute("cat state")).stdout, "base\n");
    assert.equal((await client.execute("cat state", { snapshotId: base.id })).stdout, "base\n");
    assert.equal((await client.execute("cat state", { branchFrom: one.id })).stdout, "base\n");
    assert.equal((await snapshots.get(base.id)).executionId, base.executionId);
    assert.equal((await snapshots.list()).length, 1);
    assert.equal(await snapshots.delete(base.id), true);
    assert.equal(await snapshots.delete(base.id), false);
    for (const call of [() => snapshots.get(base.id), () => snapshots.restore(base.id), () => snapshots.create("exec-9")]) {
        assert.ok((await errorOf(call())).isNotFound);
    }
    assert.match((await errorOf(snapshots.createFromScript("exit 3", "bad"))).message, /exit code 3/);
}));

test("a stream yields output as it is printed, and returns the exit code", withMock("contract", async (mock) => {
    const folder = await mkdtemp(join(tmpdir(), "faas-go-"));
    const marker = join(folder, "go");
    const script = `echo one; while [ ! -e ${marker} ]; do sleep 0.02; done; echo two >&2; exit 3`;
    const stream = mock.client().executions.stream(["sh", "-c", script], "alpine-fast");
    assert.deepEqual(await stream.next(), { done: false, value: "one\n" });
    await writeFile(marker, ""); // what follows was not printed before
    assert.deepEqual(await stream.next(), { done: false, value: "two\n" });
    assert.deepEqual(await stream.next(), { done: true, value: 3 });
    const events: OutputEvent[] = [];
    for await (const event of mock.client().executions.streamEvents("echo out; echo err >&2", undefined)) events.push(event);
    // The server reads both streams at once, so either may come first.
    assert.deepEqual(events.slice(0, 2).map((event) => event.type).sort(), ["stderr", "stdout"]);
    assert.deepEqual(events[2], { type: "exit", code: 0 });
    assert.equal(events.length, 3);
    await rm(folder, { recursive: true });
}));

test("a broken stream resumes from the log without running twice", withMock("contract", async (mock) => {
    for (let n = 1; n < 40; n++) await mock.control({ cut_stream: n * 97 });
    let text = "";
    for await (const piece of mock.client().executions.stream(["seq", "200"], "alpine-fast")) text += piece;
    assert.equal(text, Array.from({ length: 200 }, (_, n) => `${n + 1}\n`).join(""));
    assert.equal((await mock.report()).executions, 1);
    assert.ok((await mock.count("GET", "/logs")) > 30);
}));

test("an execution is listed, followed and cancelled", withMock("contract", async (mock) => {
    const { executions } = mock.client();
    const run = mock.client().execute("echo begun; sleep 30");
    await until(async () => (await mock.report()).executions === 1);
    const listed = (await executions.list())[0];
    assert.ok(listed !== undefined);
    assert.equal(listed.status, "running");
    assert.equal(listed.command, "echo begun; sleep 30");
    assert.ok(listed.startedAt !== undefined && listed.exitCode === undefined);
    const log = executions.logs(listed.id, { follow: true });
    assert.equal((await log.next()).value, "begun\n");
    await executions.cancel(listed.id);
    assert.deepEqual(await log.next(), { done: true, value: 137 });
    assert.equal((await run).status, "cancelled");
    const over = await executions.get(listed.id);
    assert.deepEqual([over.status, over.exitCode], ["cancelled", 137]);
    const printed: string[] = [];
    for await (const text of executions.logs(listed.id)) printed.push(text);
    assert.deepEqual(printed, ["begun\n"]);
    assert.ok((await errorOf(executions.get("exec-9"))).isNotFound);
    assert.ok((await errorOf(executions.cancel("exec-9"))).isNotFound);
    assert.ok((await errorOf(executions.logs("exec-9").next())).isNotFound);
}));

test("a cached result is not computed again", withMock("contract", async (mock) => {
    const options = { mode: "cached", cacheKey: "now" };
    const first = await mock.client().execute("date +%N", options);
    const second = await mock.client().execute("date +%N", options);
    assert.deepEqual([first.cached, second.cached], [false, true]);
    assert.equal(first.stdout, second.stdout);
}));

test("the health needs no key", withMock("contract", async (mock) => {
    const health = await mock.client({ apiKey: "wrong" }).health();
    assert.deepEqual([health.status, health.docker], ["healthy", true]);
    const { requests } = await mock.report();
    assert.equal(requests[0]?.authorization, false);
}));
