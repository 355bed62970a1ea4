// Server-sent events from a body, as they arrive.

import { InvalidResponseError } from "./errors.js";
import { classify } from "./platform.js";
import { Failure, type Reply } from "./response.js";
import { errorOf } from "./transport.js";

/** The size limit for the data of one event, in characters. */
const MAX_DATA = 8 * 1024 * 1024;

/**
 * The data of each event of a streamed response. Comments and an incomplete last event are
 * dropped, as the standard requires.
 */
export async function* events(reply: Reply, idleTimeout: number): AsyncGenerator<string, void, undefined> {
    let data: string[] = [];
    let size = 0;
    for await (const line of lines(reply, idleTimeout)) {
        if (line === "") {
            if (data.length > 0) yield data.join("\n");
            data = [];
            size = 0;
            continue;
        }
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        if (field !== "data") continue; // a comment, or a field that is not needed
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        size += value.length;
        if (size > MAX_DATA) throw tooLarge(reply);
        data.push(value);
    }
}

/** The whole body of a streamed response. */
export async function wholeBody(reply: Reply, idleTimeout: number): Promise<string> {
    const all: string[] = [];
    for await (const line of lines(reply, idleTimeout, Infinity)) all.push(line);
    return all.join("\n");
}

/**
 * The lines of a streamed body, without line ends; invalid UTF-8 is replaced. A line that is
 * incomplete because the connection was lost is dropped.
 */
async function* lines(
    reply: Reply,
    idleTimeout: number,
    limit = MAX_DATA + 1024,
): AsyncGenerator<string, void, undefined> {
    if (reply.stream === undefined) return;
    const { reader, attempt } = reply.stream;
    const decoder = new TextDecoder();
    let rest = "";
    let searched = 0;
    try {
        for (;;) {
            const end = rest.indexOf("\n", searched);
            if (end >= 0) {
                const line = rest.slice(0, end);
                rest = rest.slice(end + 1);
                searched = 0;
                yield line.endsWith("\r") ? line.slice(0, -1) : line;
                continue;
            }
            searched = rest.length;
            if (rest.length > limit) throw tooLarge(reply);
            const piece = await nextPiece(reply, idleTimeout);
            if (piece === undefined) break;
            rest += decoder.decode(piece, { stream: true });
        }
        rest += decoder.decode();
        if (rest !== "") yield rest;
    } finally {
        attempt.close();
        // Closes the connection if the body was not read to its end.
        reader.cancel().catch(() => undefined);
    }
}

async function nextPiece(reply: Reply, idleTimeout: number): Promise<Uint8Array | undefined> {
    if (reply.stream === undefined) return undefined;
    const { reader, attempt } = reply.stream;
    attempt.limit(idleTimeout);
    try {
        const piece = await reader.read();
        // A body that a signal ended may look like a complete one.
        if (attempt.cause !== undefined) throw new Error("aborted");
        return piece.done ? undefined : piece.value;
    } catch (error) {
        throw errorOf(failure(error, reply), reply.op, reply.request);
    } finally {
        attempt.unlimited();
    }
}

function failure(error: unknown, reply: Reply): Failure {
    switch (reply.stream?.attempt.cause?.kind) {
        case "timeout":
            return new Failure("timeout", "no data within the idle timeout", error);
        case "signal":
            return new Failure("aborted", "aborted by a signal", error);
        default: {
            const { text } = classify(error);
            return new Failure("broken", `the stream was interrupted: ${text}`, error);
        }
    }
}

function tooLarge(reply: Reply): InvalidResponseError {
    return new InvalidResponseError(`an event of the stream is larger than ${MAX_DATA >> 20} MiB`, {
        request: reply.request,
    });
}
