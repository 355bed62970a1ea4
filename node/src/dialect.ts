// The two wire formats, and what their error responses mean.

import {
    ConflictError,
    type ErrorDetails,
    type FaaSError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnauthorizedError,
    UnsupportedError,
} from "./errors.js";
import { classOfStatus, type ErrorClass } from "./retry.js";

/**
 * The wire format of a server.
 *
 * - `gateway`, the contract's: a command is a shell script, variables are pairs, the key is a
 *   bearer token.
 * - `server`, the second server's: a command is a list of arguments, variables are `K=V`, the key
 *   is an `x-api-key`, and every error response is a 400.
 */
export type FaaSDialect = "gateway" | "server";

/** The header with the key, if there is one. */
export function keyHeader(dialect: FaaSDialect, apiKey: string): Record<string, string> {
    if (apiKey === "") return {};
    return dialect === "server" ? { "x-api-key": apiKey } : { authorization: `Bearer ${apiKey}` };
}

/** The meaning of a response outside 2xx. */
export interface Problem {
    readonly errorClass: ErrorClass;
    /** The server's own name for the problem, if it has one. */
    readonly code: string | undefined;
    /** The message, safe to display. */
    readonly message: string;
    /**
     * Whether the response has the server's own format, not that of a proxy or gateway in front
     * of it. A 503 then means that the request had no effect.
     */
    readonly isOwn: boolean;
}

/**
 * Interprets a response outside 2xx. A 404 without the server's `error` field means that the route
 * does not exist. A `message` field alone comes from a proxy or gateway.
 */
export function explain(status: number, body: string): Problem {
    const document = parsed(body);
    const own = textIn(document, "error");
    const code = textIn(document, "code");
    const text = own ?? textIn(document, "message");
    const isOwn = own !== undefined;
    return {
        errorClass: CLASS_OF_CODE.get(code ?? "") ?? classOfStatus(status, isOwn),
        code: code === undefined ? undefined : shortened(code),
        message: text !== undefined ? shortened(text) : body === "" ? "the server gave no reason" : excerpt(body),
        isOwn,
    };
}

const CLASS_OF_CODE = new Map<string, ErrorClass>([
    ["UNAUTHORIZED", "unauthorized"],
    ["FORBIDDEN", "forbidden"],
    ["NOT_FOUND", "not-found"],
    ["RATE_LIMIT_EXCEEDED", "rate-limited"],
]);

/** The error for a class of error responses. */
export function errorOfClass(errorClass: ErrorClass, message: string, details: ErrorDetails): FaaSError {
    switch (errorClass) {
        case "unauthorized":
            return new UnauthorizedError(message, details);
        case "forbidden":
            return new ForbiddenError(message, details);
        case "not-found":
            return new NotFoundError(message, details);
        case "unsupported":
            return new UnsupportedError(message, details);
        case "conflict":
            return new ConflictError(message, details);
        case "invalid":
            return new InvalidRequestError(message, details);
        case "rate-limited":
            return new RateLimitError(message, details);
        case "transient":
        case "failed":
            return new ServerError(message, details);
    }
}

/** Shortens a text to one line of at most 200 characters, without control characters. */
export function shortened(text: string): string {
    const characters = Array.from(text.trim().slice(0, 1000));
    // eslint-disable-next-line no-control-regex
    const line = characters.slice(0, 200).join("").replace(/[\x00-\x1f\x7f-\x9f]/g, " ");
    return characters.length > 200 ? `${line}…` : line;
}

/** The beginning of a body as one line. */
export function excerpt(body: string): string {
    return shortened(body.slice(0, 400));
}

function parsed(body: string): unknown {
    try {
        return JSON.parse(body);
    } catch {
        return undefined;
    }
}

function textIn(document: unknown, name: string): string | undefined {
    if (typeof document !== "object" || document === null) return undefined;
    const value = (document as Record<string, unknown>)[name];
    return typeof value === "string" ? value : undefined;
}
