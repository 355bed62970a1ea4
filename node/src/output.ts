// The streamed output of executions, which is resumed after an interruption.

import { sleep } from "./abort.js";
import { AbortedError, FaaSError, NetworkError } from "./errors.js";
import { events, wholeBody } from "./events.js";
import { Fields } from "./fields.js";
import { executionResult, isMerged } from "./models.js";
import { pathOf } from "./path.js";
import type { Reply } from "./response.js";
import { exponential, jittered } from "./retry.js";
import type { Transport } from "./transport.js";
import type * as wire from "./wire.js";

/** One item of an execution's output. The exit code is the last item. */
export type OutputEvent =
    | { readonly type: "stdout"; readonly text: string }
    | { readonly type: "stderr"; readonly text: string }
    | { readonly type: "exit"; readonly code: number };

/** This many consecutive interruptions without an item end a stream. */
const MAX_BREAKS = 10;

/** What the stream has reported about its execution so far. */
interface Progress {
    id: string | undefined;
    hasExited: boolean;
}

type Source = AsyncGenerator<OutputEvent, void, undefined>;

/** The output of an execution that has just started. */
export async function* outputOfStarted(
    transport: Transport,
    reply: Reply,
    idleTimeout: number,
    signal: AbortSignal | undefined,
): AsyncGenerator<OutputEvent, void, undefined> {
    const isStreamed = reply.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
    if (!isStreamed) {
        yield* outputOfResult(reply, await wholeBody(reply, idleTimeout));
        return;
    }
    const progress: Progress = { id: undefined, hasExited: false };
    const first = outputs(reply, idleTimeout, progress);
    try {
        yield* resumed(transport, signal, first, async (error, delivered) => {
            if (progress.hasExited) return undefined;
            if (error === undefined) throw endedEarly(reply.request);
            // Without an id, the log cannot be requested.
            if (progress.id === undefined) return undefined;
            return open(transport, { id: progress.id, follow: true, from: delivered, idleTimeout, signal, progress });
        });
    } catch (error) {
        // The request to run the command was carried out: it must not be sent again.
        throw error instanceof FaaSError ? FaaSError.forOp(error, "create") : error;
    }
}

/** The log of an execution. */
export async function* log(
    transport: Transport,
    id: string,
    follow: boolean,
    idleTimeout: number,
    signal: AbortSignal | undefined,
): AsyncGenerator<OutputEvent, void, undefined> {
    const progress: Progress = { id, hasExited: false };
    const opened = (from: number): Promise<Source> => open(transport, { id, follow, from, idleTimeout, signal, progress });
    const first = await opened(0);
    yield* resumed(transport, signal, first, async (error, delivered) => {
        if (progress.hasExited) return undefined;
        if (error !== undefined) return opened(delivered);
        if (follow) throw endedEarly(transport.described("GET", logPath(id, follow)));
        return undefined;
    });
}

/**
 * The items of `first`, then those of the source that `resume` opens after an interruption.
 * `resume` receives the error, if any, and the number of items delivered so far.
 */
async function* resumed(
    transport: Transport,
    signal: AbortSignal | undefined,
    first: Source,
    resume: (error: FaaSError | undefined, delivered: number) => Promise<Source | undefined>,
): Source {
    const signals = transport.signals(signal);
    // Streams wait at least a second from the second retry on.
    const retries = { ...transport.settings.retries, first: Math.min(1000, transport.settings.retries.max) };
    let source: Source | undefined = first;
    let delivered = 0;
    let breaks = 0;
    try {
        for (;;) {
            let error: FaaSError | undefined;
            const item = await source.next().catch((cause: unknown) => {
                error = asFaaSError(cause);
                return undefined;
            });
            if (item?.done === false) {
                delivered += 1;
                breaks = 0;
                yield item.value;
                continue;
            }
            source = undefined;
            while (source === undefined) {
                if (error !== undefined) {
                    breaks += 1;
                    const retryable = FaaSError.forOp(error, "read").isRetryable;
                    if (!retryable || breaks > MAX_BREAKS) throw error;
                    transport.settings.debug?.(`${error.message}; resuming after item ${delivered}`);
                    // The first retry is immediate: reconnecting usually works at once.
                    const wait = breaks === 1 ? 0 : jittered(exponential(breaks - 1, retries));
                    const least = Math.min((error.retryAfter ?? 0) * 1000, retries.max);
                    if (!(await sleep(Math.max(wait, least), signals))) throw new AbortedError("aborted by a signal");
                }
                try {
                    source = await resume(error, delivered);
                    if (source === undefined) {
                        if (error !== undefined) throw error;
                        return;
                    }
                } catch (cause) {
                    if (cause === error) throw cause;
                    error = asFaaSError(cause);
                }
            }
        }
    } finally {
        await source?.return();
    }
}

function asFaaSError(error: unknown): FaaSError {
    if (error instanceof FaaSError) return error;
    throw error;
}

/** What to request of a log. */
interface LogRequest {
    readonly id: string;
    readonly follow: boolean;
    /** The number of items to skip. */
    readonly from: number;
    readonly idleTimeout: number;
    readonly signal: AbortSignal | undefined;
    readonly progress: Progress;
}

function logPath(id: string, follow: boolean): string {
    return `${pathOf("executions", id)}/logs?follow=${follow}`;
}

async function open(transport: Transport, request: LogRequest): Promise<Source> {
    const path = logPath(request.id, request.follow);
    const reply = await transport.send({ method: "GET", path, streamed: true, signal: request.signal });
    const source = outputs(reply.ok(), request.idleTimeout, request.progress);
    return behind(source, request.from);
}

/** Skips the first `delivered` items. */
async function* behind(items: Source, delivered: number): Source {
    let left = delivered;
    for await (const item of items) {
        if (left > 0) left -= 1;
        else yield item;
    }
}

/** The output in the events of a response, up to and including the exit code. */
async function* outputs(reply: Reply, idleTimeout: number, progress: Progress): Source {
    for await (const data of events(reply, idleTimeout)) {
        const event = eventOf(data);
        if (event === undefined) continue;
        if (event.type === "started") {
            progress.id = event.id;
            continue;
        }
        if (event.type === "exit") {
            progress.hasExited = true;
            yield event;
            return;
        }
        yield event;
    }
}

/** An event; `undefined` for a heartbeat, or an event that this version does not know. */
function eventOf(data: string): OutputEvent | { type: "started"; id: string } | undefined {
    try {
        const fields = new Fields<wire.ExecutionEvent>(JSON.parse(data));
        const type = fields.text("type");
        switch (type) {
            case "started":
                return { type, id: fields.requiredText("request_id") };
            case "stdout":
            case "stderr":
                return { type, text: fields.requiredText("data") };
            case "exit": {
                const code = fields.integer("code");
                return code === undefined ? undefined : { type, code };
            }
            default:
                return undefined;
        }
    } catch {
        return undefined;
    }
}

/** The output in the result of a server that does not support streaming. */
function* outputOfResult(reply: Reply, text: string): Generator<OutputEvent, void, undefined> {
    const result = reply.decoded(text, executionResult);
    if (result.stdout !== "") yield { type: "stdout", text: result.stdout };
    if (result.stderr !== "" && !isMerged(result)) yield { type: "stderr", text: result.stderr };
    yield { type: "exit", code: result.exitCode ?? 0 };
}

function endedEarly(request: string): FaaSError {
    return new NetworkError("the stream ended before the execution did", {
        request,
        op: "read",
        outcome: { fault: "broken" },
    });
}
