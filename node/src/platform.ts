// What differs between Node, Deno, Bun and browsers.

import type { Fault } from "./retry.js";
import { shortened } from "./dialect.js";

/** A part of `process`, which browsers lack. */
interface ProcessLike {
    readonly env?: Record<string, string | undefined>;
    readonly versions?: { readonly node?: string };
}

function processLike(): ProcessLike | undefined {
    return (globalThis as { process?: ProcessLike }).process;
}

/**
 * An environment variable, trimmed. `undefined` if it is unset or blank, if the platform has no
 * variables, or if Deno does not permit reading it.
 */
export function variable(name: string): string | undefined {
    try {
        const value = processLike()?.env?.[name]?.trim();
        return value === "" ? undefined : value;
    } catch {
        return undefined;
    }
}

/** Whether a program may choose its `user-agent`: a browser does not let it. */
export function hasOwnUserAgent(): boolean {
    return processLike()?.versions?.node !== undefined;
}

/** The text of a file; for platforms with a file system. */
export async function readTextFile(path: string): Promise<string> {
    // A variable keeps bundlers for browsers from resolving the module.
    const name = "node:fs/promises";
    const fs = (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as {
        readFile(path: string): Promise<Uint8Array>;
    };
    return new TextDecoder("utf-8", { fatal: true }).decode(await fs.readFile(path));
}

/** The dispatcher of undici, which is Node's `fetch`. */
interface Dispatcher {
    dispatch(options: object, handler: unknown): boolean;
}

/**
 * Options of `fetch` that switch off the platform's own time limits. An execution may take longer
 * than the five minutes that Node and Bun wait for a response, and the client has its own limits.
 */
export function withoutOwnTimeLimits(): object {
    // Bun.
    const init = { timeout: false };
    if (undiciDispatcher() === undefined) return init;
    return {
        ...init,
        dispatcher: {
            dispatch(options: object, handler: unknown): boolean {
                const current = undiciDispatcher();
                if (current === undefined) throw new TypeError("fetch has no dispatcher");
                return current.dispatch({ ...options, bodyTimeout: 0, headersTimeout: 0 }, handler);
            },
        },
    };
}

/**
 * Options of `fetch` for a request whose effect must not happen twice. Deno sends a request again
 * if a connection that it reuses closes before the response, also a POST: such a request gets a
 * connection of its own. A browser does the same and has no option against it.
 */
export function withoutResending(): object {
    const { Deno } = globalThis as { Deno?: { createHttpClient?: (options: object) => unknown } };
    return Deno?.createHttpClient === undefined ? {} : { client: Deno.createHttpClient({ poolMaxIdlePerHost: 0 }) };
}

/** The program's own dispatcher, which may be a proxy. Node loads it with the first request. */
function undiciDispatcher(): Dispatcher | undefined {
    if (processLike()?.versions?.node === undefined) return undefined;
    new Headers();
    const globals = globalThis as Record<symbol, unknown>;
    for (const name of ["undici.globalDispatcher.2", "undici.globalDispatcher.1"]) {
        const dispatcher = globals[Symbol.for(name)] as Dispatcher | undefined;
        if (typeof dispatcher?.dispatch === "function") return dispatcher;
    }
    return undefined;
}

/** Says why `fetch` failed, or why a body could not be read to its end. */
export function classify(error: unknown): { fault: Fault; text: string } {
    const causes = withCauses(error);
    const text = shortened(causes.map((cause) => cause.message).filter((message) => message !== "").join(": "));
    for (const cause of causes) {
        const fault = faultOfCode(cause);
        if (fault !== undefined) return { fault, text: described(fault, text) };
    }
    const fault = faultOfDeno(text) ?? "broken";
    return { fault, text: described(fault, text) };
}

function described(fault: Fault, text: string): string {
    switch (fault) {
        case "unresolved":
            return "cannot resolve the host name";
        case "refused":
            return `cannot connect: ${text}`;
        case "connect-timeout":
            return `no connection in time: ${text}`;
        case "tls":
            return `no trusted connection: ${text}`;
        case "timeout":
            return `no complete response in time: ${text}`;
        default:
            return `the connection was lost: ${text}`;
    }
}

interface SystemError {
    readonly message: string;
    readonly code?: unknown;
    readonly syscall?: unknown;
}

/** An error, its causes, and the errors that an `AggregateError` of several addresses contains. */
function withCauses(error: unknown): SystemError[] {
    const found: SystemError[] = [];
    let next = error;
    while (next instanceof Error && found.length < 5) {
        found.push(next);
        if (next instanceof AggregateError && next.errors[0] instanceof Error) found.push(next.errors[0]);
        next = next.cause;
    }
    return found;
}

function faultOfCode({ code, syscall }: SystemError): Fault | undefined {
    if (typeof code !== "string") return undefined;
    if (code === "ENOTFOUND" || code.startsWith("EAI_")) return "unresolved";
    if (code === "ECONNREFUSED" || code === "ConnectionRefused" || code === "FailedToOpenSocket") return "refused";
    if (syscall === "connect" && ["EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "EACCES"].includes(code)) return "refused";
    if (code === "UND_ERR_CONNECT_TIMEOUT" || (code === "ETIMEDOUT" && syscall === "connect")) return "connect-timeout";
    if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT" || code === "ETIMEDOUT") return "timeout";
    if (/^(CERT_|DEPTH_ZERO_|EPROTO$|ERR_SSL_|ERR_TLS_|SELF_SIGNED_|UNABLE_TO_)/.test(code)) return "tls";
    return undefined;
}

/** Deno's errors have no code, but name the phase. */
function faultOfDeno(text: string): Fault | undefined {
    if (!text.includes("client error (Connect)")) return undefined;
    if (text.includes("dns error")) return "unresolved";
    if (/certificate|tls/i.test(text)) return "tls";
    return /timed out/i.test(text) ? "connect-timeout" : "refused";
}
