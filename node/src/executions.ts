// Executions: run commands and inspect them.

import { type CallOptions, type Client, deleteAt, transportOf } from "./connection.js";
import { splitMarker } from "./command.js";
import { BatchError, FaaSError, SettingsError, TimeoutError, UnsupportedError } from "./errors.js";
import { listOf } from "./fields.js";
import { execution, type Execution, executionResult, type ExecutionResult } from "./models.js";
import { log, type OutputEvent, outputOfStarted } from "./output.js";
import { pathOf } from "./path.js";
import { type ExecutionRequest, type Prepared, prepared, type RunOptions, type StreamOptions } from "./request.js";
import type { Reply } from "./response.js";
import { type Call, seconds, type Transport } from "./transport.js";

/** The options of a log. */
export interface LogOptions extends CallOptions {
    /** Also waits for what the execution prints until it ends. Default: false. */
    follow?: boolean | undefined;
    /** The longest time without data, in seconds. Default: the client's. */
    idleTimeout?: number | undefined;
}

/** An asynchronous sequence of texts, which returns the exit code at its end if the server says it. */
export type TextStream = AsyncGenerator<string, number | undefined, undefined>;

/** An asynchronous sequence of output events. */
export type EventStream = AsyncGenerator<OutputEvent, void, undefined>;

/**
 * Executions of a {@link FaaSClient}.
 *
 * ```ts
 * const result = await client.executions.run(["pytest", "-q"], "python-ai", { timeout: 600 });
 * for await (const text of client.executions.stream(["ping", "-c3", "localhost"], "alpine-fast")) {
 *     process.stdout.write(text);
 * }
 * ```
 */
export class ExecutionManager {
    readonly #transport: Transport;

    /** The executions of this client; `client.executions` is one. */
    constructor(client: Client) {
        this.#transport = transportOf(client);
    }

    /**
     * Runs a program with these arguments, without shell expansion, and waits for its result. The
     * request is sent once.
     *
     * A command that fails is not an error; {@link ensureSuccess} makes it one.
     *
     * @throws an error with `isTimeout` at the time limit, and with `isOutcomeUnknown` if the
     * response was lost: the work may then still run, and `list` shows it if the server supports
     * that. Neither is `isRetryable` at the time limit. `isUnsupported` if a server responds to the
     * mode `checkpointed` without running the command.
     */
    async run(
        command: readonly string[],
        environment: string | undefined,
        options: RunOptions = {},
    ): Promise<ExecutionResult> {
        return runAt(this.#transport, "/api/v1/execute", { ...options, command, environment });
    }

    /**
     * Runs many commands, at most `maxParallel` at once, and waits for all of them. Returns the
     * results in the order of the requests.
     *
     * @throws a {@link BatchError} with all results if one of them could not be had. A command that
     * fails is not an error.
     */
    async runBatch(executions: readonly ExecutionRequest[], options: CallOptions = {}): Promise<ExecutionResult[]> {
        const settled = await this.runBatchSettled(executions, options);
        const results = settled.filter((one) => one.status === "fulfilled").map((one) => one.value);
        if (results.length < settled.length) throw new BatchError(settled);
        return results;
    }

    /** Like {@link runBatch}, but returns the errors too, as `Promise.allSettled` does. */
    async runBatchSettled(
        executions: readonly ExecutionRequest[],
        options: CallOptions = {},
    ): Promise<PromiseSettledResult<ExecutionResult>[]> {
        const results: PromiseSettledResult<ExecutionResult>[] = [];
        let next = 0;
        const work = async (): Promise<void> => {
            for (let at = next++; at < executions.length; at = next++) {
                const request = executions[at];
                if (request === undefined) continue;
                results[at] = await settled(runAt(this.#transport, "/api/v1/execute", withSignal(request, options.signal)));
            }
        };
        const workers = Math.min(this.#transport.settings.maxParallel, executions.length);
        await Promise.all(Array.from({ length: workers }, work));
        return results;
    }

    /**
     * Runs a command and yields its output as text, as it is printed; both streams, in the order of
     * the server. Returns the exit code. A stream that breaks is resumed from the execution's log.
     * If the server does not support streaming, the output comes at the end.
     *
     * A loop that is left early closes the connection; the execution may still run.
     *
     * @throws the errors of {@link run}
     */
    stream(command: readonly string[], environment: string | undefined, options: StreamOptions = {}): TextStream {
        return textOf(this.streamEvents(command, environment, options));
    }

    /** Like {@link stream}, but tells the streams apart; the exit code is the last event. */
    async *streamEvents(
        command: string | readonly string[],
        environment: string | undefined,
        options: StreamOptions = {},
    ): EventStream {
        const transport = this.#transport;
        const request = prepared({ ...options, command, environment }, transport.settings.dialect);
        if (request.marker !== undefined) {
            throw new SettingsError([
                "checked, mode: a stream cannot be checked for its exit code, as `checked` and checkpointed executions are",
            ]);
        }
        const path = "/api/v1/execute?stream=true";
        const idleTimeout = idleTimeoutOf(transport, options.idleTimeout);
        const reply = await sendWork(transport, path, request, { streamed: true });
        yield* outputOfStarted(transport, reply.ok(), idleTimeout, options.signal);
    }

    /**
     * Yields what an execution has printed, and with `follow` all that it prints until it ends.
     * Returns the exit code, if it has ended.
     *
     * @throws an error with `isNotFound` or `isUnsupported`
     */
    logs(id: string, options: LogOptions = {}): TextStream {
        return textOf(this.logEvents(id, options));
    }

    /** Like {@link logs}, but tells the streams apart. */
    async *logEvents(id: string, options: LogOptions = {}): EventStream {
        const idleTimeout = idleTimeoutOf(this.#transport, options.idleTimeout);
        yield* log(this.#transport, id, options.follow ?? false, idleTimeout, options.signal);
    }

    /**
     * The executions that the server knows of.
     *
     * @throws an error with `isUnsupported`
     */
    async list(options: CallOptions = {}): Promise<Execution[]> {
        const call = { method: "GET", path: "/api/v1/executions", signal: options.signal } as const;
        return (await this.#transport.send(call)).json(listOf(execution));
    }

    /**
     * An execution.
     *
     * @throws an error with `isNotFound` or `isUnsupported`
     */
    async get(id: string, options: CallOptions = {}): Promise<Execution> {
        const call = { method: "GET", path: pathOf("executions", id), signal: options.signal } as const;
        return (await this.#transport.send(call)).json(execution);
    }

    /**
     * Cancels an execution.
     *
     * @throws an error with `isNotFound` or `isUnsupported`
     */
    async cancel(id: string, options: CallOptions = {}): Promise<void> {
        await deleteAt(this.#transport, pathOf("executions", id), options);
    }
}

/** Runs a request at `path`, a route with the same request and response format. */
export async function runAt(transport: Transport, path: string, request: ExecutionRequest): Promise<ExecutionResult> {
    const ready = prepared(request, transport.settings.dialect);
    const reply = await sendWork(transport, path, ready, { patient: true });
    const result = reply.json(executionResult);
    return ready.marker === undefined ? result : withExitCode(result, ready.marker, reply, ready);
}

/** Sends a request that runs something and waits for the response. */
export async function sendWork(
    transport: Transport,
    path: string,
    request: Prepared,
    options: Pick<Call, "patient" | "streamed">,
): Promise<Reply> {
    const within = clientTimeout(request.limit);
    const { body, signal } = request;
    try {
        return await transport.send({ method: "POST", path, body, within, signal, ...options });
    } catch (error) {
        if (!(error instanceof FaaSError) || !error.isTimeout || error.isConnect) throw error;
        throw new TimeoutError(`no result within ${seconds(request.limit)}: the work may still run`, {
            request: transport.described("POST", path),
            op: "create",
            outcome: { fault: "work-timeout" },
            cause: error,
        });
    }
}

/**
 * How long the client waits for an execution with this time limit: a little longer than the server,
 * whose own response at the limit has more detail.
 */
function clientTimeout(limit: number): number {
    return limit + Math.min(Math.max(limit / 10, 100), 2_000);
}

/** Reads the shell's exit code from the output, and removes its line from all fields. */
function withExitCode(result: ExecutionResult, marker: string, reply: Reply, request: Prepared): ExecutionResult {
    const found = splitMarker(result.stdout, marker);
    const without = (text: string): string => splitMarker(text, marker)?.text ?? text;
    const rest = Object.entries(result.extra);
    const cleaned = {
        ...result,
        stdout: without(result.stdout),
        stderr: without(result.stderr),
        extra: Object.fromEntries(rest.map(([name, value]) => [name, typeof value === "string" ? without(value) : value])),
    };
    if (found !== undefined) {
        return { ...cleaned, exitCode: found.code, status: found.code === 0 ? "success" : "error" };
    }
    if (result.status !== "success") return cleaned;
    if (request.isCheckpointed) {
        const text = "the server responded to a checkpointed execution without running the command";
        throw new UnsupportedError(text, { request: reply.request });
    }
    throw reply.invalid("the shell did not report its exit code");
}

/** The texts of a stream; returns the exit code. */
async function* textOf(events: EventStream): TextStream {
    let code: number | undefined;
    for await (const event of events) {
        if (event.type === "exit") code = event.code;
        else yield event.text;
    }
    return code;
}

function idleTimeoutOf(transport: Transport, given: number | undefined): number {
    if (given === undefined) return transport.settings.idleTimeout;
    if (Number.isFinite(given) && given > 0) return given * 1000;
    throw new SettingsError(["idleTimeout: expected a number of seconds, more than 0"]);
}

async function settled<T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> {
    const [result] = await Promise.allSettled([promise]);
    return result;
}

/** The request, which the batch's signal aborts too. */
function withSignal(request: ExecutionRequest, signal: AbortSignal | undefined): ExecutionRequest {
    if (signal === undefined) return request;
    if (request.signal === undefined) return { ...request, signal };
    return { ...request, signal: AbortSignal.any([signal, request.signal]) };
}
