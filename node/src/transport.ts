// Sends calls: retries where that is safe, with limits on time and size.

import { Attempt, sleep } from "./abort.js";
import { keyHeader } from "./dialect.js";
import { AbortedError, type FaaSError, NetworkError, TimeoutError } from "./errors.js";
import { classify, hasOwnUserAgent, withoutOwnTimeLimits, withoutResending } from "./platform.js";
import { Failure, readBody, Reply } from "./response.js";
import { delay, jittered, type Op } from "./retry.js";
import type { Settings } from "./settings.js";
import { VERSION } from "./version.js";

/** The time limit for the head of a response, unless the call is patient. */
const HEAD_LIMIT = 30_000;

/** The time limit for the body of a response, unless the call is patient. */
const BODY_TIME_LIMIT = 60_000;

/** A request and its options. Times are in milliseconds. */
export interface Call {
    readonly method: "GET" | "POST" | "PUT" | "DELETE";
    readonly path: string;
    /** The JSON text of the body. */
    readonly body?: string | undefined;
    /** The effect of the call, if the method does not say it. */
    readonly op?: Op | undefined;
    /** The time limit of the call with its response and retries. */
    readonly within?: number | undefined;
    readonly signal?: AbortSignal | undefined;
    /** Sends no key. */
    readonly anonymous?: boolean | undefined;
    /** Sends the call once: the caller retries. */
    readonly once?: boolean | undefined;
    /** For a server that responds when the work is done: only `within` limits the wait. */
    readonly patient?: boolean | undefined;
    /** Returns a 2xx body as a stream; `within` then only applies to the response head. */
    readonly streamed?: boolean | undefined;
}

/** An HTTP client for one server. */
export class Transport {
    readonly settings: Settings;
    readonly #platformOptions: object;
    readonly #createOptions: object;

    constructor(settings: Settings) {
        this.settings = settings;
        const isPlatforms = settings.fetch === undefined;
        this.#platformOptions = isPlatforms ? withoutOwnTimeLimits() : {};
        this.#createOptions = isPlatforms ? withoutResending() : {};
    }

    /** The signals that abort a call: the client's and the call's. */
    signals(signal: AbortSignal | undefined): AbortSignal[] {
        return [this.settings.signal, signal].filter((one) => one !== undefined);
    }

    /** `POST /api/v1/execute at https://faas.example.com`. */
    described(method: string, path: string): string {
        return `${method} ${this.redact(path)} at ${this.settings.endpoint}`;
    }

    /**
     * Sends a call, and sends it again where that is safe, until there is a final response, the
     * time limit expires, or a signal aborts it.
     */
    async send(call: Call): Promise<Reply> {
        const { retries, debug } = this.settings;
        const signals = this.signals(call.signal);
        const op = opOf(call);
        const deadline = Date.now() + (call.within ?? this.settings.requestTimeout);
        for (let attempt = 1; ; attempt++) {
            if (signals.some((signal) => signal.aborted)) throw this.#abortedBefore(call, signals);
            const result = await this.#attempt(call, op, Math.max(deadline - Date.now(), 0), signals);
            const outcome = result instanceof Reply ? result.outcome : { fault: result.fault };
            const retryAfter = result instanceof Reply ? (result.retryAfterMs ?? 0) : 0;
            const longest = call.once === true ? undefined : delay(op, outcome, attempt, retryAfter, retries);
            const wait =
                longest === undefined ? undefined : Math.max(jittered(longest), Math.min(retryAfter, longest));
            if (wait === undefined || Date.now() + wait >= deadline) {
                if (result instanceof Reply) return result;
                throw this.#failed(call, op, result);
            }
            const why = result instanceof Reply ? `answered ${result.status}` : result.message;
            debug?.(`${this.described(call.method, call.path)}: ${this.redact(why)}; retrying in ${Math.round(wait)} ms`);
            if (!(await sleep(wait, signals))) throw this.#abortedBefore(call, signals);
        }
    }

    async #attempt(call: Call, op: Op, left: number, signals: readonly AbortSignal[]): Promise<Reply | Failure> {
        const attempt = new Attempt(signals);
        const began = Date.now();
        let isStreaming = false;
        try {
            const isPatient = call.patient === true || call.streamed === true;
            attempt.limit(isPatient ? left : Math.min(left, HEAD_LIMIT));
            const send = this.settings.fetch ?? globalThis.fetch;
            const response = await send(`${this.settings.endpoint}${call.path}`, {
                ...this.#platformOptions,
                ...(op === "create" && this.#createOptions),
                method: call.method,
                headers: this.#headers(call),
                body: call.body ?? null,
                // The key must not be sent to any other host.
                redirect: "manual",
                credentials: "omit",
                cache: "no-store",
                signal: attempt.signal,
            });
            isStreaming = call.streamed === true && response.ok && response.body !== null;
            if (isStreaming) attempt.unlimited();
            if (!isPatient) attempt.limit(Math.min(left - (Date.now() - began), BODY_TIME_LIMIT));
            const reader = isStreaming ? response.body?.getReader() : undefined;
            return new Reply({
                request: this.described(call.method, call.path),
                op,
                status: response.status,
                headers: response.headers,
                body: isStreaming ? "" : await readBody(response),
                stream: reader && { reader, attempt },
                redact: this.redact,
            });
        } catch (error) {
            return this.#failure(error, attempt, Date.now() - began);
        } finally {
            if (!isStreaming) attempt.close();
        }
    }

    #headers(call: Call): Headers {
        const headers = new Headers();
        if (call.body !== undefined) headers.set("content-type", "application/json");
        if (hasOwnUserAgent()) headers.set("user-agent", `satellite-faas/${VERSION}`);
        const key = call.anonymous === true ? {} : keyHeader(this.settings.dialect, this.settings.apiKey);
        for (const [name, value] of Object.entries(key)) headers.set(name, value);
        return headers;
    }

    #failure(error: unknown, attempt: Attempt, after: number): Failure {
        if (error instanceof Failure) return error;
        if (attempt.cause?.kind === "timeout") {
            return new Failure("timeout", `no complete response within ${seconds(after)}`, error);
        }
        if (attempt.cause?.kind === "signal") {
            return new Failure("aborted", "aborted by a signal", attempt.cause.reason);
        }
        const { fault, text } = classify(error);
        return new Failure(fault, text, error);
    }

    /** The error for a call without a complete response. */
    #failed(call: Call, op: Op, failure: Failure): FaaSError {
        return errorOf(failure, op, this.described(call.method, call.path), this.redact);
    }

    /** The error for a call that was aborted while nothing was sent. */
    #abortedBefore(call: Call, signals: readonly AbortSignal[]): FaaSError {
        return new AbortedError("aborted by a signal", {
            request: this.described(call.method, call.path),
            cause: signals.find((signal) => signal.aborted)?.reason,
        });
    }

    /** The text without the key. */
    readonly redact = (text: string): string => {
        const key = this.settings.apiKey;
        return key === "" ? text : text.replaceAll(key, "***");
    };
}

/** The error for a failure. */
export function errorOf(failure: Failure, op: Op, request: string, redact = (text: string) => text): FaaSError {
    const details = { request, op, outcome: { fault: failure.fault }, cause: failure.cause };
    const text = redact(failure.message);
    switch (failure.fault) {
        case "timeout":
        case "connect-timeout":
        case "work-timeout":
            return new TimeoutError(text, details);
        case "aborted":
            return new AbortedError(text, details);
        default:
            return new NetworkError(text, details);
    }
}

/** `1.5 s`. */
export function seconds(ms: number): string {
    return `${Number((ms / 1000).toPrecision(3))} s`;
}

function opOf(call: Call): Op {
    if (call.op !== undefined) return call.op;
    if (call.method === "GET") return "read";
    return call.method === "POST" ? "create" : "idempotent";
}
