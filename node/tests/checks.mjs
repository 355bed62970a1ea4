// Checks that run on every platform: Node, Deno, Bun and a browser. Plain JavaScript on the built
// package, so that nothing but the platform is in between.

/**
 * Runs the checks and returns a line for each of them.
 *
 * @param {typeof import("satellite-faas")} faas the package
 * @param {{ url: string, key: string, closed: string, resends?: boolean }} at the server, its key, a
 * closed port, and whether the platform sends a request again on its own
 */
export async function check(faas, { url, key, closed, resends }) {
    const { FaaSClient, FaaSError, ensureSuccess } = faas;
    const client = new FaaSClient({ endpoint: url, apiKey: key, retryDelay: 0.01, maxRetryDelay: 0.05 });
    const control = async (command) => {
        const answer = await fetch(`${url}/control`, { method: "POST", body: JSON.stringify(command) });
        return answer.json();
    };
    const failure = async (promise) => {
        try {
            await promise;
        } catch (error) {
            if (FaaSError.is(error)) return error;
            throw error;
        }
        throw new Error("expected an error");
    };
    const equal = (found, expected) => {
        if (JSON.stringify(found) !== JSON.stringify(expected)) {
            throw new Error(`expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
        }
    };
    const lines = [];
    const step = async (name, run) => {
        try {
            const note = await run();
            lines.push(`ok: ${name}${note === undefined ? "" : `: ${note}`}`);
        } catch (error) {
            lines.push(`FAILED: ${name}: ${error.stack ?? error}`);
        }
    };

    await step("a command runs", async () => {
        const result = ensureSuccess(await client.execute("echo $GREETING", { envVars: { GREETING: "it's €" } }));
        equal(result.stdout, "it's €\n");
    });
    await step("a File is run", async () => {
        equal((await client.executeFile(new File(["echo from a File"], "x.sh"))).stdout, "from a File\n");
    });
    await step("a stream yields output and returns the exit code", async () => {
        const stream = client.executions.stream(["sh", "-c", "echo one; exit 3"], "alpine-fast");
        equal(await stream.next(), { value: "one\n", done: false });
        equal(await stream.next(), { value: 3, done: true });
    });
    await step("a broken stream is resumed", async () => {
        // The first cut comes long after the id of the execution: a browser drops what it has received
        // and not yet delivered when a connection breaks.
        for (const bytes of [140, 300, 700]) await control({ cut_stream: bytes });
        const script = "echo one; sleep 1; seq 50";
        let text = "";
        for await (const piece of client.executions.stream(["sh", "-c", script], undefined)) text += piece;
        equal(text.split("\n").length, 52);
    });
    await step("a batch runs", async () => {
        const results = await client.executions.runBatch([1, 2, 3].map((n) => ({ command: `echo ${n}` })));
        equal(results.map((one) => one.stdout), ["1\n", "2\n", "3\n"]);
    });
    await step("a snapshot is restored", async () => {
        const base = await client.snapshots.createFromScript("echo saved > state", "base");
        const [branch] = await client.snapshots.restore(base.id, { branchCount: 2 });
        equal((await branch.execute("cat state")).stdout, "saved\n");
    });
    await step("a rate limit is waited out", async () => {
        await control({ limit_rate: 2 });
        equal((await client.execute("true")).status, "success");
    });
    await step("a signal aborts an execution", async () => {
        const abort = new AbortController();
        setTimeout(() => abort.abort(), 100);
        const error = await failure(client.execute("sleep 20", { signal: abort.signal }));
        equal([error.name, error.isAborted, error.isOutcomeUnknown], ["AbortError", true, true]);
    });
    await step("a time limit is kept", async () => {
        await control({ fault: { stall_ms: 3000 }, method: "POST", path: "/execute" });
        const error = await failure(client.execute("true", { timeout: 0.2 }));
        equal([error.isTimeout, error.isRetryable, error.isOutcomeUnknown], [true, false, true]);
    });
    await step("an execution with a lost response is sent once", async () => {
        const { executions: before } = await control({ report: true });
        await control({ fault: "done_but_no_answer", method: "POST", path: "/execute" });
        const call = client.execute("echo once");
        if (resends) {
            // What the README says about browsers; no option of fetch changes it.
            await call;
            const { executions: after } = await control({ report: true });
            equal(after - before, 2);
            return "the browser itself sent it twice";
        }
        const error = await failure(call);
        equal([error.isOutcomeUnknown, error.isRetryable], [true, false]);
        const { executions: after } = await control({ report: true });
        equal(after - before, 1);
        return error.message.replace(/^.*?: /, "");
    });
    await step("an error names what was asked, and not the key", async () => {
        const error = await failure(new FaaSClient({ endpoint: url, apiKey: "hush" }).executions.get("a b"));
        equal(error.message, `GET /api/v1/executions/a%20b at ${url}: answered 401 UNAUTHORIZED: unknown key`);
    });
    await step("a closed port", async () => {
        const error = await failure(new FaaSClient({ endpoint: closed, maxRetries: 0 }).execute("true"));
        return `isConnect ${error.isConnect}, isOutcomeUnknown ${error.isOutcomeUnknown}: ${error.message.replace(/^.*?: /, "")}`;
    });
    return lines;
}
