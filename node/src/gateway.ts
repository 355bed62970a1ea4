// The real gateway's routes that are not in the contract.

import { type CallOptions, type Client, transportOf } from "./connection.js";
import { UnsupportedError } from "./errors.js";
import { runAt, sendWork } from "./executions.js";
import { listOf } from "./fields.js";
import { executionResult, type ExecutionResult, instance, type Instance } from "./models.js";
import { pathOf } from "./path.js";
import { type ExecutionOptions, jsonText, prepared, type Runtime } from "./request.js";
import type { Transport } from "./transport.js";
import type * as wire from "./wire.js";

/** A shell script, or a program and its arguments. */
type Command = string | readonly string[];

/**
 * Routes of the real gateway that other servers of the family may lack; they then throw an error
 * with `isUnsupported`.
 *
 * ```ts
 * await client.gateway.prewarm("alpine:latest", 3);
 * const built = await client.execute("make");
 * const tested = await client.gateway.forkExecution(built.requestId, "make test");
 * ```
 */
export class GatewayExtras {
    readonly #transport: Transport;

    /** The extras of this client; `client.gateway` is one. */
    constructor(client: Client) {
        this.#transport = transportOf(client);
    }

    /**
     * Runs a command twice, as two variants that the server chooses. The current real gateway runs
     * neither: it requires a parent, which this route cannot name. `forkExecution` names it.
     *
     * @throws an error with `isUnsupported` for an empty list: no variant ran
     */
    async fork(command: Command, options: Omit<ExecutionOptions, "checked"> = {}): Promise<ExecutionResult[]> {
        const path = "/api/v1/fork";
        const request = prepared({ ...options, checked: false, command }, this.#transport.settings.dialect);
        const reply = await sendWork(this.#transport, path, request, { patient: true });
        const results = reply.json(listOf(executionResult));
        if (results.length > 0) return results;
        throw new UnsupportedError("returned an empty list: no variant ran", { request: reply.request });
    }

    /** Runs a command as a fork of an execution. */
    async forkExecution(id: string, command: Command, options: ExecutionOptions = {}): Promise<ExecutionResult> {
        return runAt(this.#transport, `${pathOf("executions", id)}/fork`, { ...options, command });
    }

    /** Creates a persistent container. */
    async createInstance(image: string, name?: string, options: CallOptions = {}): Promise<Instance> {
        const body = jsonText<wire.InstanceCreate>({ image, name: name ?? null });
        const call = { method: "POST", path: INSTANCES, body, signal: options.signal } as const;
        return (await this.#transport.send(call)).json(instance);
    }

    /** All persistent containers. */
    async instances(options: CallOptions = {}): Promise<Instance[]> {
        const call = { method: "GET", path: INSTANCES, signal: options.signal } as const;
        return (await this.#transport.send(call)).json(listOf(instance));
    }

    /** A persistent container. The current gateway always returns 404: `isUnsupported`. */
    async instance(id: string, options: CallOptions = {}): Promise<Instance> {
        const call = { method: "GET", path: pathOf("instances", id), signal: options.signal } as const;
        return (await this.#transport.send(call)).json(instance);
    }

    /** Runs a command in a persistent container. The current gateway always returns 501: `isUnsupported`. */
    async exec(id: string, command: Command, options: ExecutionOptions = {}): Promise<ExecutionResult> {
        return runAt(this.#transport, `${pathOf("instances", id)}/exec`, { ...options, command });
    }

    /** Stops a persistent container. */
    async stopInstance(id: string, options: CallOptions = {}): Promise<void> {
        const path = `${pathOf("instances", id)}/stop`;
        (await this.#transport.send({ method: "POST", path, signal: options.signal })).ok();
    }

    /** Asks the gateway to keep `count` containers of an image ready. */
    async prewarm(
        image: string,
        count: number,
        options: CallOptions & { runtime?: Runtime | undefined } = {},
    ): Promise<void> {
        const { runtime, signal } = options;
        const body = jsonText<wire.Prewarm>({ image, count, ...(runtime !== undefined && { runtime }) });
        (await this.#transport.send({ method: "POST", path: "/api/v1/prewarm", body, signal })).ok();
    }

    /** The images for which the gateway keeps containers ready, as it returns them. */
    async pools(options: CallOptions = {}): Promise<unknown> {
        const call = { method: "GET", path: "/api/v1/pools", signal: options.signal } as const;
        return (await this.#transport.send(call)).json((document) => document);
    }

    /** The gateway's metrics, as it returns them. */
    async metrics(options: CallOptions = {}): Promise<unknown> {
        const call = { method: "GET", path: "/api/v1/metrics", signal: options.signal } as const;
        return (await this.#transport.send(call)).json((document) => document);
    }
}

const INSTANCES = "/api/v1/instances";
