// The request to run a command, with all its options.

import type { CallOptions } from "./connection.js";
import { asText, asWords, type Form, newMarker, reading, withMarker } from "./command.js";
import type { FaaSDialect } from "./dialect.js";
import { SettingsError } from "./errors.js";
import type { OpenWord, ResourceRequirements } from "./models.js";
import type * as wire from "./wire.js";

/** The isolation technology of an execution. */
export type Runtime = OpenWord<"docker" | "firecracker" | "auto">;

/**
 * What happens to an execution's state.
 *
 * - `ephemeral`: it is dropped.
 * - `cached`: the result is kept for identical requests.
 * - `checkpointed`: it is kept for a snapshot. The client checks that the command ran.
 * - `branched`: it starts as a copy of another state.
 * - `persistent`: it is kept.
 */
export type Mode = OpenWord<"ephemeral" | "cached" | "checkpointed" | "branched" | "persistent">;

/** The options of a command. */
export interface RunOptions extends CallOptions {
    /**
     * The time limit in seconds. Default: 30. It is sent to the server. The client waits a tenth
     * longer, for the server's response at the limit, and then gives up: some servers ignore it.
     */
    timeout?: number | undefined;
    /** Environment variables. */
    envVars?: Readonly<Record<string, string>> | undefined;
    /**
     * The standard input of the command. It is sent as a part of the command, so it must be small
     * (about 96 KiB of text, 24 KiB of other bytes).
     */
    stdin?: string | Uint8Array | undefined;
    /** The working directory. */
    workingDir?: string | undefined;
    /**
     * Makes the shell change into the working directory and report the exit code in an extra last
     * line, which the client removes from the output. This is for the real gateway, which ignores
     * the directory and always returns exit code 0. Always on with the mode `checkpointed`.
     */
    checked?: boolean | undefined;
    /** Memory and CPU cores; whole cores only. */
    resources?: ResourceRequirements | undefined;
    /** The isolation technology. */
    runtime?: Runtime | undefined;
    /** What happens to its state. */
    mode?: Mode | undefined;
    /** The key under which the result is cached, with the mode `cached`. */
    cacheKey?: string | undefined;
    /** Starts from a copy of this snapshot. */
    snapshotId?: string | undefined;
    /** Runs in this branch. */
    branchFrom?: string | undefined;
}

/** The options of a command whose output is streamed. */
export interface StreamOptions extends RunOptions {
    /** The longest time without data, in seconds. Default: the client's. */
    idleTimeout?: number | undefined;
}

/** The options of {@link FaaSClient.execute}. */
export interface ExecutionOptions extends RunOptions {
    /**
     * The environment to run in: one of the server's, or, for the real gateway, a container image.
     * Default: the server's.
     */
    environment?: string | undefined;
}

/** A command of a batch. */
export interface ExecutionRequest extends ExecutionOptions {
    /** A shell script, or a program and its arguments, without shell expansion. */
    command: string | readonly string[];
}

/** A request as it is sent. */
export interface Prepared {
    /** The JSON text of the body. */
    readonly body: string;
    /** What precedes the exit code in the output, if the request is checked. */
    readonly marker: string | undefined;
    /** Whether the mode is `checkpointed`. */
    readonly isCheckpointed: boolean;
    /** The time limit in milliseconds. */
    readonly limit: number;
    readonly signal: AbortSignal | undefined;
}

/** Checks a request and brings it into the form of the dialect. */
export function prepared(request: ExecutionRequest, dialect: FaaSDialect): Prepared {
    const limit = (request.timeout ?? 30) * 1000;
    if (!(Number.isFinite(limit) && limit > 0)) {
        throw new SettingsError(["timeout: expected a number of seconds, more than 0"]);
    }
    // The server's fields are whole numbers of 32 and 8 bits.
    const memory = whole("resources.memoryMb", request.resources?.memoryMb, 0xffff_ffff);
    const cores = whole("resources.cpuCores", request.resources?.cpuCores, 0xff);
    const variables = Object.entries(request.envVars ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    const wrong = variables.find(([name]) => name === "" || /[=\0]/.test(name));
    if (wrong !== undefined) {
        throw new SettingsError([`envVars: ${JSON.stringify(wrong[0])} is not a valid variable name`]);
    }

    const isCheckpointed = request.mode === "checkpointed";
    const marker = request.checked === true || isCheckpointed ? newMarker() : undefined;
    let form: Form = request.command;
    if (request.stdin !== undefined) form = reading(form, bytesOf(request.stdin));
    if (marker !== undefined) form = withMarker(form, marker, request.workingDir);

    const shared = {
        cache_key: request.cacheKey,
        cpu_cores: cores,
        image: request.environment,
        memory_mb: memory,
        mode: request.mode ?? (request.branchFrom === undefined ? undefined : "branched"),
        branch_from: request.branchFrom,
        runtime: request.runtime,
        snapshot_id: request.snapshotId,
        timeout_ms: Math.floor(limit),
        working_dir: request.workingDir,
    };
    const body: Loose<wire.GatewayExecuteRequest> | Loose<wire.ServerExecuteRequest> =
        dialect === "server"
            ? { ...shared, command: asWords(form), env_vars: variables.map(([name, value]) => `${name}=${value}`) }
            : { ...shared, command: asText(form), env_vars: variables };
    return { body: jsonText(body), marker, isCheckpointed, limit, signal: request.signal };
}

/** Fields that are `undefined` are not sent. */
type Loose<T> = { [K in keyof T]: T[K] | undefined };

/**
 * The JSON text of a body, with sorted fields: the same bytes as the Rust client sends. It accepts
 * the types of the schema only.
 */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- callers name the type
export function jsonText<T extends object>(body: T): string {
    const sorted = Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify(Object.fromEntries(sorted));
}

/**
 * The commands that run a file according to its extension: `.py` for `python3`, `.js` for `node`,
 * `.rb` for `ruby`, `.pl` for `perl`, all others with a shell.
 */
export function commandOfFile(name: string, text: string): string | string[] {
    const base = name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\")) + 1);
    const dot = base.lastIndexOf(".");
    switch (dot > 0 ? base.slice(dot + 1) : "") {
        case "py":
            return ["python3", "-c", text];
        case "js":
        case "mjs":
        case "cjs":
            return ["node", "-e", text];
        case "rb":
            return ["ruby", "-e", text];
        case "pl":
            return ["perl", "-e", text];
        default:
            return text;
    }
}

function whole(name: string, value: number | undefined, most: number): number | undefined {
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= most)) return value;
    throw new SettingsError([`${name}: expected a whole number from 0 to ${most}, found ${value}`]);
}

function bytesOf(stdin: string | Uint8Array): Uint8Array {
    return typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
}
