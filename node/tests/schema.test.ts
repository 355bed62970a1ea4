// The schema of the wire format describes what this client sends, as it does for the Rust client.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { FaaSClient } from "satellite-faas";
import { type Kind, Mock } from "./mock.js";

interface Route {
    method: string;
    path: string;
    request?: string;
}

const path = new URL("../../../crates/faas/schema/faas-wire.schema.json", import.meta.url);
const schema = JSON.parse(await readFile(path, "utf8")) as { $id: string; "x-routes": Route[] };
const ajv = new Ajv2020({ strict: false });
ajv.addSchema(schema);

function validator(definition: string): ValidateFunction {
    const found = ajv.getSchema(`${schema.$id}#/$defs/${definition}`);
    assert.ok(found, definition);
    return found;
}

/** The route of a request: `{…}` stands for one segment, and the query must be equal. */
function routeOf(method: string, target: string): Route | undefined {
    return schema["x-routes"].find((route) => {
        const pattern = route.path.replace(/[?.]/g, "\\$&").replace(/\{\w+\}/g, "[^/?]+");
        return route.method === method && new RegExp(`^${pattern}$`).test(target);
    });
}

async function useEverything(client: FaaSClient): Promise<void> {
    const { executions, environments, snapshots, gateway } = client;
    const full = {
        envVars: { A: "b=c", EMPTY: "" },
        stdin: "x",
        workingDir: ".",
        resources: { memoryMb: 512, cpuCores: 1 },
        runtime: "docker",
        mode: "cached",
        cacheKey: "key",
    };
    const ran = await executions.run(["cat"], "alpine:latest", full).catch(() => executions.run(["cat"], undefined, full));
    const id = ran.requestId;
    const drained = async (events: AsyncIterable<unknown>): Promise<void> => {
        for await (const event of events) assert.ok(event !== undefined);
    };
    const calls: (() => Promise<unknown>)[] = [
        () => client.execute("exit 3", { checked: true }),
        () => client.health(),
        () => drained(executions.stream(["true"], undefined)),
        () => executions.list(),
        () => executions.get(id),
        () => drained(executions.logs(id)),
        () => drained(executions.logs(id, { follow: true })),
        () => executions.cancel(id),
        () => environments.create({ name: "mine", baseImage: "b", layers: [{ run: "true" }], resources: { cpuCores: 1.5, memoryMb: 64 }, cacheStrategy: "aggressive", features: { f: true } }),
        () => environments.list(),
        () => environments.get("mine"),
        () => environments.update("mine", { resources: { memoryMb: 32 } }),
        () => environments.update("mine", { baseImage: "c" }),
        () => environments.delete("mine"),
        () => snapshots.create(id),
        () => snapshots.createFromScript("true", "script"),
        () => snapshots.list(),
        () => snapshots.get("snapshot-1"),
        () => snapshots.delete("snapshot-1"),
        () => snapshots.restore("snapshot-1"),
        () => snapshots.restore("snapshot-1", { branchCount: 2 }),
        () => client.execute("true", { snapshotId: "snapshot-1" }),
        () => client.execute("true", { branchFrom: "branch-1" }),
        () => gateway.fork("true"),
        () => gateway.forkExecution(id, "true"),
        () => gateway.createInstance("alpine", "mine"),
        () => gateway.createInstance("alpine"),
        () => gateway.instances(),
        () => gateway.instance("i"),
        () => gateway.exec("i", "true"),
        () => gateway.stopInstance("i"),
        () => gateway.prewarm("alpine", 1, { runtime: "auto" }),
        () => gateway.pools(),
        () => gateway.metrics(),
    ];
    for (const call of calls) await call().catch(() => undefined);
}

test("every request is as the schema describes it, and every route is used", async () => {
    const used = new Set<string>();
    for (const kind of ["contract", "gateway", "server"] satisfies Kind[]) {
        const mock = await Mock.start(kind);
        try {
            await useEverything(mock.client());
            for (const { method, path: target, body } of (await mock.report()).requests) {
                const route = routeOf(method, target);
                assert.ok(route, `the schema has no route for ${method} ${target}`);
                used.add(`${method} ${route.path}`);
                if (route.request === undefined) {
                    assert.equal(body, "", `${method} ${target}`);
                    continue;
                }
                const validate = validator(route.request);
                assert.ok(validate(JSON.parse(body)), `${method} ${target}: ${body}: ${ajv.errorsText(validate.errors)}`);
            }
        } finally {
            await mock[Symbol.asyncDispose]();
        }
    }
    const all = schema["x-routes"].map((route) => `${route.method} ${route.path}`);
    assert.deepEqual(all.filter((route) => !used.has(route)), []);
});
