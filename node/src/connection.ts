// Connects managers with the transport of their client, which no property shows: it has the key.

import { FaaSError, SettingsError } from "./errors.js";
import type { Call, Transport } from "./transport.js";

/** Options that all calls have. */
export interface CallOptions {
    /** Aborts the call, and the wait before a retry. What the server has begun may still run. */
    signal?: AbortSignal | undefined;
}

/** A `FaaSClient`, of which managers know no more than that it has a transport. */
export type Client = object;

const transports = new WeakMap<Client, Transport>();

/** Gives a client its transport. */
export function connect(client: Client, transport: Transport): void {
    transports.set(client, transport);
}

/** The transport of a client. */
export function transportOf(client: Client): Transport {
    const transport = transports.get(client);
    if (transport === undefined) throw new SettingsError(["client: expected a FaaSClient"]);
    return transport;
}

/**
 * Deletes the object at `path`. A missing object is an error, unless a first attempt of this same
 * call may have deleted it and then lost the response.
 */
export async function deleteAt(transport: Transport, path: string, options: CallOptions): Promise<void> {
    const call = { method: "DELETE", path, signal: options.signal } as const;
    const first = await attempted(transport, { ...call, once: true });
    if (first === undefined) return;
    if (!first.isRetryable) throw first;
    const second = await attempted(transport, call);
    if (second !== undefined && !(second.isNotFound && !first.isConnect)) throw second;
}

async function attempted(transport: Transport, call: Call): Promise<FaaSError | undefined> {
    try {
        (await transport.send(call)).ok();
        return undefined;
    } catch (error) {
        if (error instanceof FaaSError) return error;
        throw error;
    }
}
