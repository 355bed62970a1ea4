// Compile-time checks: the package's types can be used as those of the specification.

import type * as faas from "satellite-faas";

/** `ExecutionResult` of the specification, whose status servers may extend. */
interface SpecResult {
    requestId: string;
    status: string;
    stdout?: string;
    stderr?: string;
    exitCode?: number;
    duration: number;
    cached: boolean;
}

/** `Environment` of the specification. */
interface SpecEnvironment {
    id: string;
    name: string;
    baseImage: string;
    layers?: faas.Layer[];
    resources?: faas.ResourceRequirements;
    cacheStrategy?: faas.CacheStrategy;
    features?: Record<string, boolean>;
}

/** The methods of the specification. */
interface SpecClient {
    execute(code: string, options?: faas.ExecutionOptions): Promise<SpecResult>;
    executeFile(filePath: string, options?: faas.ExecutionOptions): Promise<SpecResult>;
    environments: {
        list(): Promise<SpecEnvironment[]>;
        create(config: faas.EnvironmentConfig): Promise<SpecEnvironment>;
        get(name: string): Promise<SpecEnvironment>;
        update(name: string, updates: Partial<faas.EnvironmentConfig>): Promise<SpecEnvironment>;
        delete(name: string): Promise<boolean>;
    };
    executions: {
        run(command: string[], environment: string, options?: faas.RunOptions): Promise<SpecResult>;
        runBatch(executions: faas.ExecutionRequest[]): Promise<SpecResult[]>;
        stream(command: string[], environment: string, options?: faas.StreamOptions): AsyncGenerator<string>;
    };
    snapshots: {
        create(executionId: string, name?: string): Promise<faas.Snapshot>;
        restore(snapshotId: string, options?: faas.RestoreOptions): Promise<faas.Execution | faas.Execution[]>;
        list(): Promise<faas.Snapshot[]>;
        delete(snapshotId: string): Promise<boolean>;
    };
}

type Assert<T extends true> = T;
export type ClientIsTheSpecifications = Assert<faas.FaaSClient extends SpecClient ? true : false>;
export type ConfigTakesTheSpecifications = Assert<{ apiKey?: string; endpoint?: string } extends faas.FaaSConfig ? true : false>;
export type StatusesOfTheSpecification = Assert<"success" | "error" | "timeout" extends faas.ExecutionStatus ? true : false>;
