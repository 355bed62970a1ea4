// The client of one server.

import { MAX_COMMAND_BYTES } from "./command.js";
import { type CallOptions, connect, transportOf } from "./connection.js";
import { EnvironmentManager } from "./environments.js";
import { FaaSError } from "./errors.js";
import { ExecutionManager, runAt } from "./executions.js";
import { GatewayExtras } from "./gateway.js";
import { type ExecutionResult, healthStatus, type HealthStatus } from "./models.js";
import { readTextFile } from "./platform.js";
import { commandOfFile, type ExecutionOptions } from "./request.js";
import { type FaaSConfig, settingsOf } from "./settings.js";
import { SnapshotManager } from "./snapshots.js";
import { Transport } from "./transport.js";

/**
 * A FaaS server.
 *
 * Settings come from `config`, and otherwise from `FAAS_*` environment variables where the platform
 * has them. No property of the client contains the key.
 *
 * ```ts
 * const client = new FaaSClient({ endpoint: "https://faas.example.com", apiKey });
 * const result = await client.execute("echo hello");
 * console.log(result.stdout);
 * ```
 */
export class FaaSClient {
    /** The server's base URL. */
    readonly endpoint: string;
    /** The environments that executions run in. */
    readonly environments: EnvironmentManager;
    /** Executions: run commands and inspect them. */
    readonly executions: ExecutionManager;
    /** Snapshots: saved states that executions can start from. */
    readonly snapshots: SnapshotManager;
    /** Routes that the real gateway has in addition to the contract. */
    readonly gateway: GatewayExtras;

    /**
     * Checks the settings. Sends nothing.
     *
     * @throws a `SettingsError` that lists every problem
     */
    constructor(config: FaaSConfig = {}) {
        const settings = settingsOf(config);
        connect(this, new Transport(settings));
        this.endpoint = settings.endpoint;
        this.environments = new EnvironmentManager(this);
        this.executions = new ExecutionManager(this);
        this.snapshots = new SnapshotManager(this);
        this.gateway = new GatewayExtras(this);
    }

    /**
     * Runs a shell script and waits for the result. A script that fails is not an error.
     *
     * @throws the errors of {@link ExecutionManager.run}
     */
    async execute(code: string, options: ExecutionOptions = {}): Promise<ExecutionResult> {
        return runAt(transportOf(this), "/api/v1/execute", { ...options, command: code });
    }

    /**
     * Runs the contents of a file according to its extension: `.py` for `python3`, `.js`, `.mjs` and
     * `.cjs` for `node`, `.rb` for `ruby`, `.pl` for `perl`, all others with a shell. At most 96 KiB.
     * A browser, which has no paths, passes a `File`.
     *
     * @throws an error if the file cannot be read, is larger, or is not text; the errors of
     * {@link ExecutionManager.run}
     */
    async executeFile(filePath: string | File, options: ExecutionOptions = {}): Promise<ExecutionResult> {
        const name = typeof filePath === "string" ? filePath : filePath.name;
        const cannotRun = (why: string, cause?: unknown): FaaSError =>
            new FaaSError(`${name} cannot be run: ${why}`, { cause });
        let text: string;
        try {
            text = typeof filePath === "string" ? await readTextFile(filePath) : await textIn(filePath);
        } catch (error) {
            throw cannotRun(error instanceof Error ? error.message : String(error), error);
        }
        if (new TextEncoder().encode(text).length > MAX_COMMAND_BYTES) {
            throw cannotRun(`more than ${MAX_COMMAND_BYTES} bytes`);
        }
        return runAt(transportOf(this), "/api/v1/execute", { ...options, command: commandOfFile(name, text) });
    }

    /** The health of the server. The request carries no key. */
    async health(options: CallOptions = {}): Promise<HealthStatus> {
        const call = { method: "GET", path: "/health", anonymous: true, signal: options.signal } as const;
        return (await transportOf(this).send(call)).json(healthStatus);
    }
}

async function textIn(file: File): Promise<string> {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
}
