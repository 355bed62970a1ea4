// The public API.

export { FaaSClient } from "./client.js";
export type { CallOptions } from "./connection.js";
export type { FaaSDialect } from "./dialect.js";
export { type EnvironmentConfig, EnvironmentManager } from "./environments.js";
export {
    AbortedError,
    BatchError,
    ConflictError,
    type ErrorDetails,
    ExecutionFailedError,
    FaaSError,
    ForbiddenError,
    InvalidRequestError,
    InvalidResponseError,
    NetworkError,
    NotFoundError,
    RateLimitError,
    ServerError,
    SettingsError,
    TimeoutError,
    UnauthorizedError,
    UnsupportedError,
} from "./errors.js";
export { type EventStream, ExecutionManager, type LogOptions, type TextStream } from "./executions.js";
export { GatewayExtras } from "./gateway.js";
export {
    type CacheStrategy,
    ensureSuccess,
    type Environment,
    type Execution,
    type ExecutionResult,
    type ExecutionStatus,
    type HealthStatus,
    type Instance,
    isMerged,
    type Layer,
    type OpenWord,
    type ResourceRequirements,
    type Snapshot,
} from "./models.js";
export type { OutputEvent } from "./output.js";
export type { ExecutionOptions, ExecutionRequest, Mode, RunOptions, Runtime, StreamOptions } from "./request.js";
export type { FaaSConfig } from "./settings.js";
export { Branch, type RestoreOptions, SnapshotManager } from "./snapshots.js";
export { VERSION } from "./version.js";
export type * as wire from "./wire.js";
