// The errors of this package: one base class with predicates, and a class for each cause.

import { neverOpened, verdict, type Op, type Outcome } from "./retry.js";

/** What a {@link FaaSError} is about, beyond its message. */
export interface ErrorDetails {
    /** `POST /api/v1/execute at https://faas.example.com`, if a request was made. */
    request?: string | undefined;
    /** The HTTP status of an error response. */
    status?: number | undefined;
    /** The server's own name for the problem: `RATE_LIMIT_EXCEEDED`. */
    code?: string | undefined;
    /** The server's message, shortened. */
    serverMessage?: string | undefined;
    /** How long the server asked the client to wait (`Retry-After`), in seconds. */
    retryAfter?: number | undefined;
    /** The error of `fetch`, or the reason of an `AbortSignal`. */
    cause?: unknown;
    /** @internal */
    op?: Op | undefined;
    /** @internal */
    outcome?: Outcome | undefined;
}

const BRAND = Symbol.for("satellite-faas.error");

/**
 * Any error of this package. Its message names what was asked, of whom, and what came back. It
 * never contains the API key.
 *
 * ```ts
 * try {
 *     await client.execute("make deploy");
 * } catch (error) {
 *     if (FaaSError.is(error) && error.isOutcomeUnknown) console.log("look at executions.list()");
 *     else throw error;
 * }
 * ```
 */
export class FaaSError extends Error {
    /** `POST /api/v1/execute at https://faas.example.com`, if a request was made. */
    readonly request: string | undefined;
    /** The HTTP status of an error response. */
    readonly status: number | undefined;
    /** The server's own name for the problem: `RATE_LIMIT_EXCEEDED`. */
    readonly code: string | undefined;
    /** The server's message, shortened. */
    readonly serverMessage: string | undefined;
    /** How long the server asked the client to wait (`Retry-After`), in seconds. */
    readonly retryAfter: number | undefined;

    #op: Op;
    readonly #outcome: Outcome;

    static {
        this.prototype.name = "FaaSError";
    }

    /** Builds an error; the package itself does this. */
    constructor(message: string, details: ErrorDetails = {}) {
        const { request, cause } = details;
        super(
            request === undefined ? message : `${request}: ${message}`,
            cause === undefined ? undefined : { cause },
        );
        this.request = request;
        this.status = details.status;
        this.code = details.code;
        this.serverMessage = details.serverMessage;
        this.retryAfter = details.retryAfter;
        this.#op = details.op ?? "idempotent";
        this.#outcome = details.outcome ?? "final";
        Object.defineProperty(this, BRAND, { value: true });
    }

    /**
     * Whether `error` is an error of this package. Unlike `instanceof`, this also holds if a
     * program loads the package twice, as an ES module and as a CommonJS module.
     */
    static is(error: unknown): error is FaaSError {
        return typeof error === "object" && error !== null && BRAND in error;
    }

    /**
     * The same error for a call with another effect on the server.
     * @internal
     */
    static forOp(error: FaaSError, op: Op): FaaSError {
        error.#op = op;
        return error;
    }

    /**
     * The same request may succeed when it is sent again: a network fault, an overloaded or
     * failing server. Never true if that could carry the request out a second time: see
     * {@link FaaSError.isOutcomeUnknown}.
     */
    get isRetryable(): boolean {
        return verdict(this.#op, this.#outcome) === "retry";
    }

    /**
     * The request may or may not have been carried out: it was sent, and no complete response
     * arrived. For a request that is not idempotent this also covers a response that does not
     * rule out an effect, such as a gateway's 502, 503 or 504.
     */
    get isOutcomeUnknown(): boolean {
        const outcome = this.#outcome;
        if (typeof outcome === "object") return !neverOpened(outcome.fault);
        return verdict(this.#op, outcome) === "unknown";
    }

    /** A setting is wrong; nothing was sent. */
    get isSettings(): boolean {
        return this instanceof SettingsError;
    }

    /** The server rejected the key (401). */
    get isUnauthorized(): boolean {
        return this instanceof UnauthorizedError;
    }

    /** The key is valid, but not allowed to do this (403). */
    get isForbidden(): boolean {
        return this instanceof ForbiddenError;
    }

    /** The requested object does not exist (404 from a route that exists). */
    get isNotFound(): boolean {
        return this instanceof NotFoundError;
    }

    /** The server does not support the operation: it does not have the route. */
    get isUnsupported(): boolean {
        return this instanceof UnsupportedError;
    }

    /** The state of the object does not allow this (409). */
    get isConflict(): boolean {
        return this instanceof ConflictError;
    }

    /** The server rejected the request as invalid (400 or 422). */
    get isInvalid(): boolean {
        return this instanceof InvalidRequestError;
    }

    /** Too many requests (429); `retryAfter` may say when to retry. */
    get isRateLimited(): boolean {
        return this instanceof RateLimitError;
    }

    /** A time limit expired before the response was complete. */
    get isTimeout(): boolean {
        return this instanceof TimeoutError;
    }

    /** No connection could be opened, so the request had no effect. */
    get isConnect(): boolean {
        const outcome = this.#outcome;
        return typeof outcome === "object" && neverOpened(outcome.fault);
    }

    /** An `AbortSignal` aborted the call. */
    get isAborted(): boolean {
        return this instanceof AbortedError;
    }
}

/** One or more settings or arguments are wrong. Nothing was sent. */
export class SettingsError extends FaaSError {
    /** Each problem: `FAAS_ENDPOINT: expected …`. */
    readonly problems: readonly string[];

    static {
        this.prototype.name = "SettingsError";
    }

    /** Builds an error that lists all problems. */
    constructor(problems: readonly string[]) {
        const count = problems.length === 1 ? "1 setting is wrong" : `${problems.length} settings are wrong`;
        super(`${count}:\n  ${problems.join("\n  ")}`);
        this.problems = problems;
    }
}

/** No connection could be opened, or it was lost before the response was complete. */
export class NetworkError extends FaaSError {
    static {
        this.prototype.name = "NetworkError";
    }
}

/** A time limit expired. */
export class TimeoutError extends FaaSError {
    static {
        this.prototype.name = "TimeoutError";
    }
}

/** An `AbortSignal` aborted the call; `cause` is its reason. Its `name` is `AbortError`. */
export class AbortedError extends FaaSError {
    static {
        this.prototype.name = "AbortError";
    }
}

/** A successful response whose content is not as specified. */
export class InvalidResponseError extends FaaSError {
    static {
        this.prototype.name = "InvalidResponseError";
    }
}

/** The server failed, or sent an error that has no class of its own. */
export class ServerError extends FaaSError {
    static {
        this.prototype.name = "ServerError";
    }
}

/** The server rejected the key (401). */
export class UnauthorizedError extends FaaSError {
    static {
        this.prototype.name = "UnauthorizedError";
    }
}

/** The key is valid, but not allowed to do this (403). */
export class ForbiddenError extends FaaSError {
    static {
        this.prototype.name = "ForbiddenError";
    }
}

/** The requested object does not exist. */
export class NotFoundError extends FaaSError {
    static {
        this.prototype.name = "NotFoundError";
    }
}

/** The server does not support the operation. */
export class UnsupportedError extends FaaSError {
    static {
        this.prototype.name = "UnsupportedError";
    }
}

/** The state of the object does not allow this (409). */
export class ConflictError extends FaaSError {
    static {
        this.prototype.name = "ConflictError";
    }
}

/** The server rejected the request as invalid (400 or 422). */
export class InvalidRequestError extends FaaSError {
    static {
        this.prototype.name = "InvalidRequestError";
    }
}

/** Too many requests (429). */
export class RateLimitError extends FaaSError {
    static {
        this.prototype.name = "RateLimitError";
    }
}

/** An execution ended with another exit code than 0, or did not end by itself. */
export class ExecutionFailedError extends FaaSError {
    static {
        this.prototype.name = "ExecutionFailedError";
    }
}

/** Some executions of a batch failed. The results of the others are in `results`. */
export class BatchError<T = unknown> extends FaaSError {
    /** The outcome of each execution, in the order of the requests. */
    readonly results: readonly PromiseSettledResult<T>[];

    static {
        this.prototype.name = "BatchError";
    }

    /** Builds an error from all outcomes, of which at least one failed. */
    constructor(results: readonly PromiseSettledResult<T>[]) {
        const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
        const first = failed[0];
        const text = first instanceof Error ? first.message : String(first);
        super(`${failed.length} of ${results.length} executions failed; the first: ${text}`, { cause: first });
        this.results = results;
    }
}
