// Decides what may be sent again and when: pure functions, no clock, no network. The rules are
// those of the Rust client (crates/core/src/http/retry.rs, dialect.rs and fault.rs).

/** The effect of a call on the server, which decides whether it may be sent again. */
export type Op = "read" | "idempotent" | "create";

/** Why there was no complete response. */
export type Fault =
    /** The host name could not be resolved. */
    | "unresolved"
    /** The connection was refused. */
    | "refused"
    /** The connection could not be opened within the time limit. */
    | "connect-timeout"
    /** TLS failed. */
    | "tls"
    /** The request was sent; the response did not arrive in time. */
    | "timeout"
    /** The connection was lost before the response was complete. */
    | "broken"
    /** The response exceeds the size limit. */
    | "too-large"
    /** An `AbortSignal` aborted the call. */
    | "aborted"
    /** Work on the server did not finish within its time limit and may still run. */
    | "work-timeout";

/** The result of a call as far as retries are concerned. */
export type Outcome =
    /** A response that a retry would not change. */
    | "final"
    /** A temporary failure. */
    | "transient"
    /** The server confirmed that the request had no effect. */
    | "undone"
    | { readonly fault: Fault };

/** The class of an error response. */
export type ErrorClass =
    | "unauthorized"
    | "forbidden"
    | "not-found"
    | "unsupported"
    | "conflict"
    | "invalid"
    | "rate-limited"
    | "transient"
    | "failed";

/** What the caller may do after a failed call. */
export type Verdict = "final" | "retry" | "unknown";

const NEVER_OPENED: readonly Fault[] = ["unresolved", "refused", "connect-timeout", "tls"];
const NOT_TRANSIENT: readonly Fault[] = ["too-large", "tls", "aborted", "work-timeout"];

/** Whether the connection was never opened, so that the request had no effect. */
export function neverOpened(fault: Fault): boolean {
    return NEVER_OPENED.includes(fault);
}

/** Whether a call with this effect may be sent again: one rule for retries and for errors. */
export function verdict(op: Op, outcome: Outcome): Verdict {
    if (outcome === "final") return "final";
    if (outcome === "undone") return "retry";
    const fault = typeof outcome === "object" ? outcome.fault : undefined;
    const isTransient = fault === undefined || !NOT_TRANSIENT.includes(fault);
    if (fault !== undefined && neverOpened(fault)) return isTransient ? "retry" : "final";
    if (op === "create") return "unknown";
    return isTransient ? "retry" : "final";
}

/**
 * The class of a status without further information. A 404 that is not in the server's own
 * format means that the route does not exist.
 */
export function classOfStatus(status: number, isOwn: boolean): ErrorClass {
    switch (status) {
        case 401:
            return "unauthorized";
        case 403:
            return "forbidden";
        case 404:
            return isOwn ? "not-found" : "unsupported";
        case 405:
        case 501:
            return "unsupported";
        case 409:
            return "conflict";
        case 400:
        case 422:
            return "invalid";
        case 429:
            return "rate-limited";
        case 505:
            return "failed";
        case 408:
        case 425:
            return "transient";
        default:
            return status >= 500 && status <= 599 ? "transient" : "failed";
    }
}

/**
 * The outcome for an error status. Only a rate limit, and a 503 in the server's own format, mean
 * that the request had no effect: with a gateway's 502, 503 or 504 only the server's response is
 * missing.
 */
export function outcomeOfStatus(status: number, errorClass: ErrorClass, isOwn: boolean): Outcome {
    if (status === 429 || errorClass === "rate-limited") return "undone";
    if (status === 503 && isOwn) return "undone";
    return errorClass === "transient" ? "transient" : "final";
}

/** The number of retries of a call, and the delays between them in milliseconds. */
export interface Retries {
    readonly most: number;
    readonly first: number;
    readonly max: number;
}

/**
 * The delay in milliseconds before `attempt + 1` (the first attempt is 1), without jitter.
 * `undefined` if the call must not be sent again. A longer `Retry-After` is honoured up to the
 * longest delay.
 */
export function delay(
    op: Op,
    outcome: Outcome,
    attempt: number,
    retryAfterMs: number,
    retries: Retries,
): number | undefined {
    if (verdict(op, outcome) !== "retry" || attempt > retries.most) return undefined;
    return Math.max(exponential(attempt, retries), Math.min(retryAfterMs, retries.max));
}

/** 1, 2, 4 … times the first delay, up to the longest. */
export function exponential(attempt: number, retries: Retries): number {
    return Math.min(retries.first * 2 ** Math.min(attempt - 1, 16), retries.max);
}

/** Reduces a delay by up to half at random, so that many clients do not retry at the same time. */
export function jittered(ms: number): number {
    return ms * (1 - Math.random() / 2);
}
