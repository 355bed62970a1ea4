// Snapshots: saved states that executions can start from.

import { type CallOptions, type Client, transportOf } from "./connection.js";
import { deletedAt } from "./environments.js";
import { InvalidResponseError, NotFoundError, SettingsError } from "./errors.js";
import { runAt } from "./executions.js";
import { listOf } from "./fields.js";
import {
    createdBranch,
    ensureSuccess,
    type Execution,
    type ExecutionResult,
    type ExecutionStatus,
    snapshot,
    type Snapshot,
} from "./models.js";
import { pathOf } from "./path.js";
import { type ExecutionOptions, jsonText, type RunOptions } from "./request.js";
import type { Transport } from "./transport.js";
import type * as wire from "./wire.js";

/** The options of a restore. */
export interface RestoreOptions extends CallOptions {
    /** Creates this many branches, each with its own state, and returns a list. */
    branchCount?: number | undefined;
}

/** A separate state, which its executions change one after the other. */
export class Branch implements Execution {
    /** Its id, for the option `branchFrom`. */
    readonly id: string;
    /** Its status. */
    readonly status: ExecutionStatus;
    /** The image that it runs in. */
    readonly image?: string;
    /** When it was created (RFC 3339). */
    readonly startedAt?: string;
    /** All other fields of the response. */
    readonly extra: Record<string, unknown>;

    readonly #transport: Transport;

    /** @internal */
    constructor(transport: Transport, created: Execution) {
        this.#transport = transport;
        this.id = created.id;
        this.status = created.status;
        if (created.image !== undefined) this.image = created.image;
        if (created.startedAt !== undefined) this.startedAt = created.startedAt;
        this.extra = created.extra;
    }

    /**
     * Runs a shell script, or a program with arguments, in the branch and waits for the result.
     *
     * @throws the errors of `executions.run`
     */
    async execute(command: string | readonly string[], options: ExecutionOptions = {}): Promise<ExecutionResult> {
        const request = { ...options, command, mode: "branched", branchFrom: this.id };
        return runAt(this.#transport, "/api/v1/execute", request);
    }
}

/**
 * Snapshots of a {@link FaaSClient}.
 *
 * ```ts
 * const base = await client.snapshots.createFromScript("pip install pytest", "test-base");
 * const branches = await client.snapshots.restore(base.id, { branchCount: 10 });
 * const results = await Promise.all(branches.map((branch, i) => branch.execute(`pytest tests/test_${i}.py`)));
 * ```
 */
export class SnapshotManager {
    readonly #transport: Transport;

    /** The snapshots of this client; `client.snapshots` is one. */
    constructor(client: Client) {
        this.#transport = transportOf(client);
    }

    /**
     * Saves the state of an execution. The request is sent once; after a lost response, `list`
     * shows whether the snapshot was created.
     *
     * @throws an error with `isNotFound` or `isUnsupported`
     */
    async create(executionId: string, name?: string, options: CallOptions = {}): Promise<Snapshot> {
        const fields: wire.SnapshotCreate = { container_id: executionId, ...(name !== undefined && { name }) };
        const call = { method: "POST", path: ALL, body: jsonText(fields), signal: options.signal } as const;
        return (await this.#transport.send(call)).json(snapshot);
    }

    /**
     * Runs a script and takes a snapshot of the resulting state.
     *
     * @throws an `ExecutionFailedError` if the script fails; an error with `isUnsupported` if the
     * server responds without running it, as the real gateway does
     */
    async createFromScript(
        script: string | readonly string[],
        name: string,
        options: Omit<RunOptions, "mode"> & { environment?: string } = {},
    ): Promise<Snapshot> {
        const request = { ...options, command: script, mode: "checkpointed" };
        const result = ensureSuccess(await runAt(this.#transport, "/api/v1/execute", request));
        return this.create(result.requestId, name, options);
    }

    /**
     * Creates a branch from a snapshot, or with `branchCount` a list of them.
     *
     * @throws an error with `isNotFound` or `isUnsupported`
     */
    async restore(snapshotId: string, options: RestoreOptions & { branchCount: number }): Promise<Branch[]>;
    async restore(snapshotId: string, options?: CallOptions & { branchCount?: undefined }): Promise<Branch>;
    async restore(snapshotId: string, options?: RestoreOptions): Promise<Branch | Branch[]>;
    async restore(snapshotId: string, options: RestoreOptions = {}): Promise<Branch | Branch[]> {
        const { branchCount, signal } = options;
        return branchCount === undefined ? this.#restoreOne(snapshotId, signal) : this.#branch(snapshotId, branchCount, signal);
    }

    /** All snapshots. */
    async list(options: CallOptions = {}): Promise<Snapshot[]> {
        const call = { method: "GET", path: ALL, signal: options.signal } as const;
        return (await this.#transport.send(call)).json(listOf(snapshot));
    }

    /**
     * A snapshot.
     *
     * @throws an error with `isNotFound` or `isUnsupported`
     */
    async get(id: string, options: CallOptions = {}): Promise<Snapshot> {
        const call = { method: "GET", path: pathOf("snapshots", id), signal: options.signal } as const;
        return (await this.#transport.send(call)).json(snapshot);
    }

    /** Deletes a snapshot; its branches stay. False if there was none with this id. */
    async delete(snapshotId: string, options: CallOptions = {}): Promise<boolean> {
        return deletedAt(this.#transport, pathOf("snapshots", snapshotId), options);
    }

    async #restoreOne(id: string, signal: AbortSignal | undefined): Promise<Branch> {
        // Without a body: a server that leaves one unread closes the connection.
        const reply = await this.#transport.send({ method: "POST", path: `${pathOf("snapshots", id)}/restore`, signal });
        if (reply.status === 404) {
            // The real gateway has the route, but gives no reason for a missing snapshot.
            throw new NotFoundError("answered 404: the snapshot or the route does not exist", {
                request: reply.request,
                status: 404,
                cause: reply.error(),
            });
        }
        return new Branch(this.#transport, reply.json(createdBranch));
    }

    async #branch(id: string, count: number, signal: AbortSignal | undefined): Promise<Branch[]> {
        if (!Number.isSafeInteger(count) || count < 0) {
            throw new SettingsError([`branchCount: expected a whole number, found ${count}`]);
        }
        const body = jsonText<wire.BranchCreate>({ count });
        const path = `${pathOf("snapshots", id)}/branch`;
        const reply = await this.#transport.send({ method: "POST", path, body, signal });
        const created = reply.json(listOf(createdBranch));
        if (created.length !== count) {
            const text = `created ${created.length} branches instead of ${count}`;
            throw new InvalidResponseError(text, { request: reply.request });
        }
        return created.map((one) => new Branch(this.#transport, one));
    }
}

const ALL = "/api/v1/snapshots";
