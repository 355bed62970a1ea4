// HTTP responses: their bodies within limits, and the errors that they mean.

import type { Attempt } from "./abort.js";
import { excerpt, explain, errorOfClass, type Problem } from "./dialect.js";
import { InvalidResponseError, type FaaSError } from "./errors.js";
import { Mismatch } from "./fields.js";
import { outcomeOfStatus, type Fault, type Op, type Outcome } from "./retry.js";

/** The size limit of a response body. */
const BODY_LIMIT = 32 * 1024 * 1024;

/** Why there is no complete response. */
export class Failure extends Error {
    readonly fault: Fault;

    constructor(fault: Fault, text: string, cause?: unknown) {
        super(text, { cause });
        this.fault = fault;
    }
}

/** The body of a streamed response. */
export interface ByteStream {
    readonly reader: ReadableStreamDefaultReader<Uint8Array>;
    readonly attempt: Attempt;
}

/** A response with any status. */
export class Reply {
    readonly request: string;
    readonly op: Op;
    readonly status: number;
    readonly headers: Headers;
    /** The body, unless it is streamed. */
    readonly body: string;
    readonly stream: ByteStream | undefined;
    readonly #redact: (text: string) => string;

    constructor(parts: {
        request: string;
        op: Op;
        status: number;
        headers: Headers;
        body: string;
        stream: ByteStream | undefined;
        redact: (text: string) => string;
    }) {
        this.request = parts.request;
        this.op = parts.op;
        this.status = parts.status;
        this.headers = parts.headers;
        this.body = parts.body;
        this.stream = parts.stream;
        this.#redact = parts.redact;
    }

    /** Whether the status is 2xx. */
    get isOk(): boolean {
        return this.status >= 200 && this.status <= 299;
    }

    /** `Retry-After` in milliseconds; the date form is ignored. */
    get retryAfterMs(): number | undefined {
        const text = this.headers.get("retry-after")?.trim();
        return text !== undefined && /^\d+$/.test(text) ? Number(text) * 1000 : undefined;
    }

    /** The outcome as far as retries are concerned. */
    get outcome(): Outcome {
        if (this.isOk) return "final";
        const { errorClass, isOwn } = this.#problem();
        return outcomeOfStatus(this.status, errorClass, isOwn);
    }

    /** This response if its status is 2xx; otherwise throws the error that it means. */
    ok(): this {
        if (this.isOk) return this;
        throw this.error();
    }

    /** Parses the JSON body of a 2xx response with `decode`. */
    json<T>(decode: (document: unknown) => T): T {
        this.ok();
        return this.decoded(this.body, decode);
    }

    /** Parses JSON of this response with `decode`. */
    decoded<T>(text: string, decode: (document: unknown) => T): T {
        try {
            return decode(JSON.parse(text));
        } catch (error) {
            // JSON may contain secrets; other content shows which server responded.
            const what =
                error instanceof Mismatch
                    ? error.message
                    : `the body is not JSON; it starts with ${JSON.stringify(excerpt(text))}`;
            throw this.invalid(what);
        }
    }

    /** An error for a successful response whose content is not as specified. */
    invalid(what: string): FaaSError {
        const text = this.#redact(`answered ${this.status}, but ${what}`);
        return new InvalidResponseError(text, { request: this.request, op: this.op });
    }

    /** The error that a response outside 2xx means. */
    error(): FaaSError {
        const problem = this.#problem();
        const own = problem.code === undefined ? "" : ` ${problem.code}`;
        const hint =
            problem.errorClass === "unsupported" && !problem.isOwn ? " (this server does not support the route)" : "";
        const began = this.status === 0 ? "answered" : `answered ${this.status}`;
        const message = this.#redact(problem.message);
        return errorOfClass(problem.errorClass, `${began}${this.#redact(own)}: ${message}${hint}`, {
            request: this.request,
            status: this.status === 0 ? undefined : this.status,
            code: problem.code,
            serverMessage: message,
            retryAfter: this.retryAfterMs === undefined ? undefined : this.retryAfterMs / 1000,
            op: this.op,
            outcome: this.outcome,
        });
    }

    #problem(): Problem {
        const target = this.headers.get("location");
        // A browser hides where a redirect leads to, and its status.
        if (target === null && this.status !== 0) return explain(this.status, this.body);
        const place = target === null ? "" : ` to ${excerpt(target.split("?")[0] ?? "")}`;
        // The servers themselves never redirect, so a proxy sent this.
        const message = `redirects${place}, which is not followed`;
        return { ...explain(this.status, ""), errorClass: this.status === 0 ? "failed" : explain(this.status, "").errorClass, message };
    }
}

/** Reads a whole body within the size limit. */
export async function readBody(response: Response): Promise<string> {
    if (response.body === null) return "";
    const reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    const decoder = new TextDecoder();
    let text = "";
    let size = 0;
    for (;;) {
        const piece = await reader.read();
        if (piece.done) return text + decoder.decode();
        size += piece.value.byteLength;
        if (size > BODY_LIMIT) {
            await reader.cancel().catch(() => undefined);
            throw new Failure("too-large", `the response is larger than ${BODY_LIMIT >> 20} MiB`);
        }
        text += decoder.decode(piece.value, { stream: true });
    }
}
