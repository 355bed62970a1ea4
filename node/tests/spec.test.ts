// The examples and signatures of the specification, word for word: tests/spec/ quotes them, and each
// quotation is compiled and run here. Only the calls of the public API are quoted.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as faas from "satellite-faas";
import { withMock } from "./mock.js";

const examples = new URL("../../tests/spec/", import.meta.url);

test("the example of blockchain development runs word for word", withMock("contract", async (mock) => {
    const code = await readFile(new URL("blockchain.txt", examples), "utf8");
    // `client` is the environment's, as in the example; cargo is not needed to show what is sent.
    Object.assign(process.env, { FAAS_ENDPOINT: mock.url, FAAS_API_KEY: mock.key });
    await mock.control({ max_time: 1 });
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the text of the specification
    const run = new Function("FaaSClient", `return (async () => { ${code}\nreturn { client, result }; })();`) as (
        client: typeof faas.FaaSClient,
    ) => Promise<{ client: faas.FaaSClient; result: faas.ExecutionResult }>;
    const { client, result } = await run(faas.FaaSClient);
    assert.ok(client instanceof faas.FaaSClient);
    assert.match(result.requestId, /^exec-/);
    const sent = JSON.parse((await mock.report()).requests[0]?.body ?? "") as Record<string, unknown>;
    assert.equal(sent["image"], "rust-blockchain-v1");
    assert.equal(sent["timeout_ms"], 120_000);
    assert.match(String(sent["command"]), /^\n {4}cargo init my-contract\n {4}cd my-contract\n[^]*cargo build --release\n$/);
}));

test("the other examples run, in the words of TypeScript", withMock("contract", async (mock) => {
    const client = mock.client();
    // Simple execution.
    const result = await client.execute("echo 'Hello World'", { environment: "python-ai" });
    assert.equal(result.stdout, "Hello World\n");
    // Parallel testing.
    const base = await client.snapshots.createFromScript("mkdir tests && echo ok > tests/state", "test-base");
    const branches = await client.snapshots.restore(base.id, { branchCount: 10 });
    const results = await Promise.all(branches.map((branch, i) => branch.execute(`cat tests/state; echo ${i}`)));
    assert.deepEqual(results.map((one) => one.stdout), Array.from({ length: 10 }, (_, i) => `ok\n${i}\n`));
}));

test("every method and type of the specification exists", async () => {
    const code = await readFile(new URL("face.txt", examples), "utf8");
    const client = new faas.FaaSClient();
    const owners: Record<string, object> = {
        FaaSClient: client,
        EnvironmentManager: client.environments,
        ExecutionManager: client.executions,
        SnapshotManager: client.snapshots,
    };
    let owner: object | undefined;
    let count = 0;
    for (const line of code.split("\n")) {
        const name = /export class (\w+)/.exec(line)?.[1];
        if (name !== undefined) {
            owner = owners[name];
            assert.equal(owner?.constructor.name, name);
            // A manager can be made from a client, as the constructor of the specification does.
            const made = faas[name as "EnvironmentManager"];
            assert.ok(name === "FaaSClient" || new made(client) instanceof made);
        }
        const method = /^ {4}async \*?(\w+)\(/.exec(line)?.[1];
        if (method === undefined) continue;
        assert.equal(typeof (owner as Record<string, unknown>)[method], "function", method);
        count += 1;
    }
    assert.equal(count, 14);
    for (const name of ["environments", "executions", "snapshots", "endpoint"]) assert.ok(name in client);
});
