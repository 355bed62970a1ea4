// The settings of a client: its configuration first, then `FAAS_*` environment variables.

import type { FaaSDialect } from "./dialect.js";
import { SettingsError } from "./errors.js";
import { variable } from "./platform.js";
import type { Retries } from "./retry.js";

/** The settings of a client. All times are in seconds. */
export interface FaaSConfig {
    /** The key that authenticates the caller: `FAAS_API_KEY`. Optional. */
    apiKey?: string | undefined;
    /** The server's address: `FAAS_ENDPOINT`, default `http://localhost:8080`. */
    endpoint?: string | undefined;
    /** The server's wire format: `FAAS_DIALECT`, default `gateway`. */
    dialect?: FaaSDialect | undefined;
    /** How many executions of a batch run at once: `FAAS_MAX_PARALLEL`, default 8. */
    maxParallel?: number | undefined;
    /**
     * The time limit of one call with its retries: `FAAS_REQUEST_TIMEOUT`, default 120 s. An
     * execution has its own limit instead.
     */
    requestTimeout?: number | undefined;
    /** The longest time without data on a stream. Default: 120 s. */
    idleTimeout?: number | undefined;
    /** How often one call is retried; 0 disables retries. `FAAS_MAX_RETRIES`, default: no limit. */
    maxRetries?: number | undefined;
    /** The delay before the first retry; it doubles with each further one. `FAAS_RETRY_DELAY`, default 1 s. */
    retryDelay?: number | undefined;
    /** The longest delay between two retries. Default: 60 s. */
    maxRetryDelay?: number | undefined;
    /** Allows the key to travel over plain http to hosts other than loopback: `FAAS_ALLOW_PLAIN_HTTP`. */
    allowPlainHttp?: boolean | undefined;
    /** Aborts every call of the client. */
    signal?: AbortSignal | undefined;
    /** Replaces the platform's `fetch`, for a proxy or own certificates. */
    fetch?: typeof globalThis.fetch | undefined;
    /** Receives a line for each retry. */
    debug?: ((line: string) => void) | undefined;
}

/** Settings that are complete and valid. Times are in milliseconds. */
export interface Settings {
    readonly endpoint: string;
    readonly apiKey: string;
    readonly dialect: FaaSDialect;
    readonly maxParallel: number;
    readonly requestTimeout: number;
    readonly idleTimeout: number;
    readonly retries: Retries;
    readonly signal: AbortSignal | undefined;
    readonly fetch: typeof globalThis.fetch | undefined;
    readonly debug: ((line: string) => void) | undefined;
}

/** Completes and checks a configuration. The error lists every problem. */
export function settingsOf(config: FaaSConfig): Settings {
    const problems: string[] = [];
    const problem = (name: string, expected: string, found?: string): undefined => {
        problems.push(`${name}: expected ${expected}${found === undefined ? "" : `, found ${JSON.stringify(found)}`}`);
    };

    const endpoint = parsedUrl(config.endpoint ?? variable("FAAS_ENDPOINT") ?? "http://localhost:8080");
    if ("expected" in endpoint) {
        problem("FAAS_ENDPOINT", endpoint.expected);
    } else if (!(config.allowPlainHttp ?? flag()) && endpoint.isExposed) {
        const risk = "plain http exposes the token to the network (FAAS_ALLOW_PLAIN_HTTP=true accepts that risk)";
        problem("FAAS_ENDPOINT", `https: ${risk}`);
    }
    const apiKey = config.apiKey ?? variable("FAAS_API_KEY") ?? "";
    if (!/^[\x21-\x7e]*$/.test(apiKey)) problem("FAAS_API_KEY", "visible ASCII characters only");
    if (variable("FAAS_CA_FILE") !== undefined) {
        problem("FAAS_CA_FILE", "no value: fetch has its own trust store, which NODE_EXTRA_CA_CERTS or the option fetch changes");
    }

    const settings: Settings = {
        endpoint: "expected" in endpoint ? "" : endpoint.url,
        apiKey,
        dialect: dialect(),
        maxParallel: count("FAAS_MAX_PARALLEL", config.maxParallel, 8, 1),
        requestTimeout: milliseconds("FAAS_REQUEST_TIMEOUT", config.requestTimeout, 120_000),
        idleTimeout: milliseconds("idleTimeout", config.idleTimeout, 120_000),
        retries: {
            most: count("FAAS_MAX_RETRIES", config.maxRetries, Infinity, 0),
            first: milliseconds("FAAS_RETRY_DELAY", config.retryDelay, 1_000),
            max: milliseconds("maxRetryDelay", config.maxRetryDelay, 60_000),
        },
        signal: config.signal,
        fetch: config.fetch,
        debug: config.debug,
    };
    if (problems.length > 0) throw new SettingsError(problems);
    return settings;

    function dialect(): FaaSDialect {
        const text = (config.dialect ?? variable("FAAS_DIALECT") ?? "gateway").toLowerCase();
        if (text === "gateway" || text === "server") return text;
        problem("FAAS_DIALECT", "gateway or server", text);
        return "gateway";
    }

    function flag(): boolean {
        const text = variable("FAAS_ALLOW_PLAIN_HTTP")?.toLowerCase() ?? "false";
        if (["true", "1", "yes", "on"].includes(text)) return true;
        if (!["false", "0", "no", "off"].includes(text)) problem("FAAS_ALLOW_PLAIN_HTTP", "true or false", text);
        return false;
    }

    function count(name: string, given: number | undefined, byDefault: number, least: number): number {
        const text = given === undefined ? variable(name) : String(given);
        if (text === undefined) return byDefault;
        const value = given ?? (/^\d+$/.test(text) ? Number(text) : NaN);
        if (value >= least && (Number.isSafeInteger(value) || value === Infinity)) return value;
        problem(name, least === 0 ? "a number" : `${least} or more`, text);
        return byDefault;
    }

    function milliseconds(name: string, given: number | undefined, byDefault: number): number {
        if (given !== undefined) {
            if (Number.isFinite(given) && given > 0) return given * 1000;
            problem(name, "a number of seconds, more than 0", String(given));
            return byDefault;
        }
        const text = name.startsWith("FAAS_") ? variable(name) : undefined;
        if (text === undefined) return byDefault;
        const value = parsedDuration(text);
        if (value !== undefined) return value;
        problem(name, "a time such as 90s, 10m, 1h30m or 500ms", text);
        return byDefault;
    }
}

/** A duration with units, `90s`, `10m`, `1h30m`, `500ms`, or a plain number of seconds, in ms. */
export function parsedDuration(text: string): number | undefined {
    const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
    const isPlain = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
    let total = isPlain ? Number(text) * 1_000 : 0;
    if (!isPlain) {
        if (!/^((\d+\.?\d*|\.\d+)(h|ms|m|s))+$/.test(text)) return undefined;
        for (const [, number, unit] of text.matchAll(/([\d.]+)(ms|h|m|s)/g)) {
            total += Number(number) * (units[unit ?? ""] ?? NaN);
        }
    }
    return Number.isFinite(total) && total > 0 ? total : undefined;
}

/** An http(s) URL without trailing slashes, or what was expected. It may contain a password. */
function parsedUrl(text: string): { url: string; isExposed: boolean } | { expected: string } {
    const trimmed = text.trim().replace(/\/+$/, "");
    if (!/^https?:\/\//i.test(trimmed)) return { expected: "a URL that begins with https:// or http://" };
    let url: URL;
    try {
        url = new URL(trimmed);
    } catch {
        return { expected: "an http or https URL such as https://faas.example.com" };
    }
    if (url.username !== "" || url.password !== "") return { expected: "a URL without a user name or password" };
    if (url.search !== "" || /[?#]/.test(trimmed)) return { expected: "a URL without ? and #" };
    return { url: url.href.replace(/\/+$/, ""), isExposed: url.protocol === "http:" && !isLoopback(url.hostname) };
}

/** Whether a host is `localhost`, in `127.0.0.0/8`, or `[::1]`. */
function isLoopback(host: string): boolean {
    return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
