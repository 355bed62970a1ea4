// Starts the example mock_faas: the mock of the Rust crate, which really runs the commands.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { FaaSClient, type FaaSConfig } from "satellite-faas";

/** A request that the mock received. */
export interface Seen {
    method: string;
    path: string;
    status: number;
    authorization: boolean;
    body: string;
}

interface Report {
    requests: Seen[];
    executions: number;
    most_at_once: number;
}

export type Kind = "contract" | "gateway" | "server";

export class Mock {
    readonly url: string;
    readonly key: string;
    readonly kind: Kind;
    readonly #process: ChildProcess;
    readonly #lines: AsyncIterableIterator<string>;
    readonly #input: Interface;

    private constructor(kind: Kind, child: ChildProcess, input: Interface, lines: AsyncIterableIterator<string>, first: string) {
        const { url, key } = JSON.parse(first) as { url: string; key: string };
        this.url = url;
        this.key = key;
        this.kind = kind;
        this.#process = child;
        this.#input = input;
        this.#lines = lines;
    }

    static async start(kind: Kind = "contract"): Promise<Mock> {
        const program = process.env["MOCK_FAAS"] ?? fileURLToPath(new URL("../../../target/debug/examples/mock_faas", import.meta.url));
        const child = spawn(program, [kind], { stdio: ["pipe", "pipe", "inherit"] });
        const input = createInterface({ input: child.stdout });
        const lines = input[Symbol.asyncIterator]();
        const first = await lines.next();
        if (first.done === true) throw new Error("the mock did not start");
        return new Mock(kind, child, input, lines, first.value);
    }

    client(config: FaaSConfig = {}): FaaSClient {
        return new FaaSClient({
            endpoint: this.url,
            apiKey: this.key,
            dialect: this.kind === "server" ? "server" : "gateway",
            // Retries are quick, so that tests need not wait.
            retryDelay: 0.01,
            maxRetryDelay: 0.05,
            ...config,
        });
    }

    /** Sends a command to the mock; see the example. */
    async control(command: Record<string, unknown>): Promise<Record<string, unknown>> {
        this.#process.stdin?.write(`${JSON.stringify(command)}\n`);
        const line = await this.#lines.next();
        if (line.done === true) throw new Error("the mock ended");
        const answer = JSON.parse(line.value) as Record<string, unknown>;
        if ("error" in answer) throw new Error(String(answer["error"]));
        return answer;
    }

    async fault(method: string, path: string, fault: unknown): Promise<void> {
        await this.control({ fault, method, path });
    }

    async report(): Promise<Report> {
        return (await this.control({ report: true })) as unknown as Report;
    }

    /** The requests whose method and path fit. */
    async count(method: string, path: string): Promise<number> {
        const { requests } = await this.report();
        return requests.filter((one) => one.method === method && one.path.includes(path)).length;
    }

    async [Symbol.asyncDispose](): Promise<void> {
        const ended = new Promise((resolve) => this.#process.once("exit", resolve));
        this.#process.stdin?.end();
        this.#input.close();
        await ended;
    }
}

/** Runs `test` with a mock, and ends the mock. */
export function withMock(kind: Kind, test: (mock: Mock) => Promise<void>): () => Promise<void> {
    return async () => {
        const mock = await Mock.start(kind);
        try {
            await test(mock);
        } finally {
            await mock[Symbol.asyncDispose]();
        }
    };
}

/** Waits until a condition holds. */
export async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
    const deadline = Date.now() + 30_000;
    while (!(await holds())) {
        if (Date.now() > deadline) throw new Error("timed out waiting for the condition");
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

/** The error that a promise is rejected with. */
export async function errorOf(promise: Promise<unknown>): Promise<import("satellite-faas").FaaSError> {
    const { FaaSError } = await import("satellite-faas");
    try {
        await promise;
    } catch (error) {
        if (FaaSError.is(error)) return error;
        throw error;
    }
    throw new Error("expected an error");
}
