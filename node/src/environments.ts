// The environments that executions run in.

import { type CallOptions, type Client, deleteAt, transportOf } from "./connection.js";
import { FaaSError, SettingsError } from "./errors.js";
import { listOf } from "./fields.js";
import { environment, type Environment, type Layer, type ResourceRequirements } from "./models.js";
import { pathOf } from "./path.js";
import { jsonText } from "./request.js";
import type { Transport } from "./transport.js";
import type * as wire from "./wire.js";

/** The definition of an environment. */
export interface EnvironmentConfig {
    /** Its name, which all calls take. */
    name: string;
    /** The base image. */
    baseImage: string;
    /** Its layers on top of the base image, in the server's own format. */
    layers?: Layer[] | undefined;
    /** The resources of its executions. */
    resources?: ResourceRequirements | undefined;
    /** The cache strategy, as the server names it: `aggressive`. */
    cacheStrategy?: string | undefined;
    /** Features to enable or disable. */
    features?: Record<string, boolean> | undefined;
}

/**
 * Environments of a {@link FaaSClient}. All methods throw an error with `isUnsupported` if the
 * server cannot manage environments.
 *
 * ```ts
 * await client.environments.create({ name: "my-env", baseImage: "rust:latest", cacheStrategy: "aggressive" });
 * ```
 */
export class EnvironmentManager {
    readonly #transport: Transport;

    /** The environments of this client; `client.environments` is one. */
    constructor(client: Client) {
        this.#transport = transportOf(client);
    }

    /** All environments. */
    async list(options: CallOptions = {}): Promise<Environment[]> {
        const call = { method: "GET", path: ALL, signal: options.signal } as const;
        return (await this.#transport.send(call)).json(listOf(environment));
    }

    /**
     * Creates an environment. The request is sent once; after a lost response, `get` shows whether
     * it was created.
     *
     * @throws an error with `isConflict` if one of that name exists
     */
    async create(config: EnvironmentConfig, options: CallOptions = {}): Promise<Environment> {
        pathOf("environments", config.name); // a name that no other call could take is rejected
        const body = jsonText<wire.EnvironmentCreate>({ ...wireFields(config), name: config.name });
        const call = { method: "POST", path: ALL, body, signal: options.signal } as const;
        return (await this.#transport.send(call)).json(environment);
    }

    /**
     * An environment.
     *
     * @throws an error with `isNotFound`
     */
    async get(name: string, options: CallOptions = {}): Promise<Environment> {
        const call = { method: "GET", path: pathOf("environments", name), signal: options.signal } as const;
        return (await this.#transport.send(call)).json(environment);
    }

    /**
     * Changes only what `updates` sets. Layers are replaced as a whole. A server also replaces
     * `resources` and `features` as a whole, so the client first reads the fields that `updates`
     * leaves out and sends them again. A new `name` renames the environment; that is sent once.
     *
     * @throws an error with `isNotFound`
     */
    async update(
        name: string,
        updates: Partial<EnvironmentConfig>,
        options: CallOptions = {},
    ): Promise<Environment> {
        const hasFeatures = Object.keys(updates.features ?? {}).length > 0;
        let complete = updates;
        if (updates.resources !== undefined || hasFeatures) {
            const known = await this.get(name, options);
            complete = {
                ...updates,
                resources: updates.resources && { ...known.resources, ...present(updates.resources) },
                features: hasFeatures ? { ...known.features, ...updates.features } : undefined,
            };
        }
        const isRename = updates.name !== undefined && updates.name !== name;
        const body = jsonText<wire.EnvironmentUpdate>({ ...wireFields(complete), ...(isRename && { name: updates.name }) });
        const path = pathOf("environments", name);
        const op = isRename ? "create" : "idempotent";
        const call = { method: "PUT", path, body, op, signal: options.signal } as const;
        return (await this.#transport.send(call)).json(environment);
    }

    /** Deletes an environment. False if there was none of that name. */
    async delete(name: string, options: CallOptions = {}): Promise<boolean> {
        return deletedAt(this.#transport, pathOf("environments", name), options);
    }
}

/** Deletes the object at `path`. False if there was none. */
export async function deletedAt(transport: Transport, path: string, options: CallOptions): Promise<boolean> {
    try {
        await deleteAt(transport, path, options);
        return true;
    } catch (error) {
        if (error instanceof FaaSError && error.isNotFound) return false;
        throw error;
    }
}

const ALL = "/api/v1/environments";

/** The fields of a configuration, apart from the name, in the form of the schema. */
function wireFields(config: Partial<EnvironmentConfig>): wire.EnvironmentUpdate {
    const { baseImage, layers, resources, cacheStrategy, features } = config;
    return {
        ...(baseImage !== undefined && { base_image: baseImage }),
        ...(layers !== undefined && layers.length > 0 && { layers }),
        ...(resources !== undefined && { resources: wireResources(resources) }),
        ...(cacheStrategy !== undefined && { cache_strategy: cacheStrategy }),
        ...(features !== undefined && Object.keys(features).length > 0 && { features }),
    };
}

function wireResources({ cpuCores, memoryMb }: ResourceRequirements): wire.Resources {
    if (cpuCores !== undefined && !(Number.isFinite(cpuCores) && cpuCores >= 0)) {
        throw new SettingsError([`resources.cpuCores: expected a number, found ${cpuCores}`]);
    }
    if (memoryMb !== undefined && !(Number.isSafeInteger(memoryMb) && memoryMb >= 0)) {
        throw new SettingsError([`resources.memoryMb: expected a whole number, found ${memoryMb}`]);
    }
    return {
        ...(cpuCores !== undefined && { cpu_cores: cpuCores }),
        ...(memoryMb !== undefined && { memory_mb: memoryMb }),
    };
}

/** The fields that have a value, which alone replace known ones. */
function present<T extends object>(fields: T): T {
    return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
