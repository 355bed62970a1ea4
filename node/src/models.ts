// The server's data types, and how they are read. Fields that this version does not know are kept
// in `extra`.

import { ExecutionFailedError } from "./errors.js";
import { Fields, Mismatch } from "./fields.js";
import type * as wire from "./wire.js";

/** A word that servers may extend. */
export type OpenWord<Known extends string> = Known | (string & {});

/** The status of an execution. */
export type ExecutionStatus = OpenWord<"running" | "success" | "error" | "timeout" | "cancelled">;

/** The result of an execution. */
export interface ExecutionResult {
    /** The id that the server assigned. */
    requestId: string;
    /** Its final status. */
    status: ExecutionStatus;
    /** Its standard output. */
    stdout: string;
    /** Its standard error. */
    stderr: string;
    /** Its exit code, if the server says it. */
    exitCode?: number;
    /** How long it took, in seconds. */
    duration: number;
    /** Whether the result comes from the cache and the command did not run. */
    cached: boolean;
    /** The server's error message, if it failed. */
    error?: string;
    /** All other fields of the response. */
    extra: Record<string, unknown>;
}

/** An execution on record at the server. */
export interface Execution {
    /** The id that the server assigned. */
    id: string;
    /** Its status. */
    status: ExecutionStatus;
    /** Its command, as the server received it: a string or a list. */
    command?: unknown;
    /** The image or environment that it runs in. */
    image?: string;
    /** When it started (RFC 3339). */
    startedAt?: string;
    /** Its exit code, once it has ended. */
    exitCode?: number;
    /** All other fields of the response. */
    extra: Record<string, unknown>;
}

/** A layer of an environment, in the server's own format. */
export type Layer = unknown;

/** A cache strategy, in the server's own format: `aggressive`. */
export type CacheStrategy = unknown;

/** The resources of executions. */
export interface ResourceRequirements {
    /** CPU cores. */
    cpuCores?: number;
    /** Memory, in MB. */
    memoryMb?: number;
}

/** An environment that executions run in. */
export interface Environment {
    /** Its id. */
    id: string;
    /** Its name, which all calls take. */
    name: string;
    /** The base image. */
    baseImage: string;
    /** Its layers on top of the base image. */
    layers?: Layer[];
    /** The resources of its executions. */
    resources?: ResourceRequirements;
    /** The cache strategy. */
    cacheStrategy?: CacheStrategy;
    /** Its features. */
    features?: Record<string, boolean>;
    /** All other fields of the response. */
    extra: Record<string, unknown>;
}

/** A saved state. */
export interface Snapshot {
    /** Its id. */
    id: string;
    /** Its name. */
    name?: string;
    /** The execution that it was taken from. */
    executionId?: string;
    /** When it was created (RFC 3339). */
    createdAt?: string;
    /** Its size in bytes. */
    sizeBytes?: number;
    /** All other fields of the response. */
    extra: Record<string, unknown>;
}

/** A persistent container of the real gateway. */
export interface Instance {
    /** Its id. */
    id: string;
    /** Its name. */
    name?: string;
    /** Its image. */
    image: string;
    /** Its status, as the gateway names it. */
    status: string;
    /** All other fields of the response. */
    extra: Record<string, unknown>;
}

/** The health of the server. */
export interface HealthStatus {
    /** `healthy`, or a description of the problem. */
    status: string;
    /** Whether it can run containers. */
    docker: boolean;
    /** Whether it can run microVMs. */
    firecracker: boolean;
    /** How long it has been running, in seconds. */
    uptime: number;
    /** All other fields of the response. */
    extra: Record<string, unknown>;
}

/**
 * Whether the server merges standard output and standard error and returns the same text as both,
 * as the real gateway does.
 */
export function isMerged(result: ExecutionResult): boolean {
    return result.stdout !== "" && result.stdout === result.stderr;
}

/**
 * The result, if the execution succeeded. Otherwise throws an {@link ExecutionFailedError} with its
 * status and the last line of its output.
 *
 * ```ts
 * const { stdout } = ensureSuccess(await client.execute("make test"));
 * ```
 */
export function ensureSuccess(result: ExecutionResult): ExecutionResult {
    if (result.status === "success") return result;
    const printed = result.stderr.trim() === "" ? result.stdout.trim() : result.stderr.trim();
    const last = Array.from(printed.slice(printed.lastIndexOf("\n") + 1))
        .slice(0, 200)
        .join("")
        // eslint-disable-next-line no-control-regex
        .replace(/[\x00-\x1f\x7f-\x9f]/g, "");
    const code = result.exitCode === undefined ? "no exit code" : `exit code ${result.exitCode}`;
    throw new ExecutionFailedError(`the execution ${result.requestId} ended with ${result.status} (${code}): ${last}`);
}

/** Reads the result of an execution. */
export function executionResult(document: unknown, where?: string): ExecutionResult {
    const fields = new Fields<wire.ExecuteResponse>(document, where);
    const error = fields.text("error");
    const exitCode = fields.integer("exit_code");
    const status = fields.text("status");
    return {
        requestId: fields.text("request_id", "id") ?? "",
        status: status === undefined ? statusOf(error, exitCode ?? 0) : knownStatus(status),
        stdout: fields.text("stdout") ?? "",
        stderr: fields.text("stderr") ?? "",
        ...defined({ exitCode }),
        duration: (fields.number("duration_ms") ?? 0) / 1000,
        cached: fields.flag("cached") ?? false,
        ...defined({ error }),
        extra: fields.rest(),
    };
}

function statusOf(error: string | undefined, exitCode: number): ExecutionStatus {
    if (error !== undefined) return /timed out|timeout/.test(error) ? "timeout" : "error";
    return exitCode === 0 ? "success" : "error";
}

function knownStatus(word: string): ExecutionStatus {
    if (word === "completed") return "success";
    return word === "failed" ? "error" : word;
}

/** Reads an execution on record. */
export function execution(document: unknown, where?: string): Execution {
    const fields = new Fields<wire.Execution>(document, where);
    return {
        id: fields.requiredText("id", "request_id", "execution_id"),
        status: knownStatus(fields.requiredText("status")),
        ...defined({
            command: fields.any("command"),
            image: fields.text("image", "environment"),
            startedAt: fields.text("started_at", "created_at"),
            exitCode: fields.integer("exit_code"),
        }),
        extra: fields.rest(),
    };
}

/** Reads an environment. */
export function environment(document: unknown, where?: string): Environment {
    const fields = new Fields<wire.Environment>(document, where);
    const resources = fields.any("resources");
    const features = fields.any("features");
    return {
        id: fields.text("id") ?? "",
        name: fields.requiredText("name"),
        baseImage: fields.text("base_image", "baseImage") ?? "",
        ...defined({
            layers: fields.list("layers"),
            resources: resources === undefined ? undefined : resourceRequirements(resources),
            cacheStrategy: fields.any("cache_strategy", "cacheStrategy"),
            features: features === undefined ? undefined : flags(features),
        }),
        extra: fields.rest(),
    };
}

function resourceRequirements(document: unknown): ResourceRequirements {
    const fields = new Fields<NonNullable<wire.Environment["resources"]>>(document, "resources");
    return defined({
        cpuCores: fields.number("cpu_cores", "cpuCores"),
        memoryMb: fields.integer("memory_mb", "memoryMb"),
    });
}

function flags(document: unknown): Record<string, boolean> {
    const fields = new Fields<Record<string, boolean>>(document, "features");
    const all = Object.entries(fields.rest()).filter(([, value]) => value !== null);
    const wrong = all.find(([, value]) => typeof value !== "boolean");
    if (wrong !== undefined) throw new Mismatch(`expected a boolean at features.${wrong[0]}`);
    return Object.fromEntries(all) as Record<string, boolean>;
}

/** Reads a snapshot. */
export function snapshot(document: unknown, where?: string): Snapshot {
    const fields = new Fields<wire.Snapshot>(document, where);
    return {
        id: fields.requiredText("id"),
        ...defined({
            name: fields.text("name"),
            executionId: fields.text("container_id", "execution_id"),
            createdAt: fields.text("created_at"),
            sizeBytes: fields.integer("size_bytes"),
        }),
        extra: fields.rest(),
    };
}

/** Reads a branch that was created from a snapshot. */
export function createdBranch(document: unknown, where?: string): Execution {
    const fields = new Fields<wire.Branch>(document, where);
    return {
        id: fields.requiredText("id", "execution_id"),
        status: knownStatus(fields.text("status") ?? "running"),
        ...defined({ image: fields.text("image"), startedAt: fields.text("created_at") }),
        extra: fields.rest(),
    };
}

/** Reads a persistent container. */
export function instance(document: unknown, where?: string): Instance {
    const fields = new Fields<wire.Instance>(document, where);
    return {
        id: fields.requiredText("id"),
        ...defined({ name: fields.text("name") }),
        image: fields.text("image") ?? "",
        status: fields.text("status") ?? "",
        extra: fields.rest(),
    };
}

/** Reads the health of the server. */
export function healthStatus(document: unknown): HealthStatus {
    const fields = new Fields<wire.HealthStatus>(document);
    return {
        status: fields.requiredText("status"),
        docker: fields.flag("docker") ?? false,
        firecracker: fields.flag("firecracker") ?? false,
        uptime: (fields.number("uptime_ms") ?? 0) / 1000,
        extra: fields.rest(),
    };
}

/** The fields that have a value. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
    const all = Object.entries(fields).filter(([, value]) => value !== undefined);
    return Object.fromEntries(all) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
