"""Commands in remote containers: the client of a FaaS server.

All methods of `FaaSClient` are async; `SyncFaaSClient` has the same methods without `await`.

    async with FaaSClient() as client:  # FAAS_ENDPOINT, FAAS_API_KEY
        result = await client.execute("uname -a")
        print(result.stdout)
"""

from satellite_sdk.faas.client import FaaSClient
from satellite_sdk.faas.managers import (
    EnvironmentManager,
    ExecutionManager,
    GatewayExtras,
    SnapshotManager,
)
from satellite_sdk.faas.sync import SyncFaaSClient
from satellite_sdk.faas.types import (
    Environment,
    Execution,
    ExecutionRequest,
    ExecutionResult,
    ExecutionsFailed,
    Instance,
    Layer,
    Output,
    ResourceRequirements,
    Snapshot,
)

__all__ = [
    "Environment",
    "EnvironmentManager",
    "Execution",
    "ExecutionManager",
    "ExecutionRequest",
    "ExecutionResult",
    "ExecutionsFailed",
    "FaaSClient",
    "GatewayExtras",
    "Instance",
    "Layer",
    "Output",
    "ResourceRequirements",
    "Snapshot",
    "SnapshotManager",
    "SyncFaaSClient",
]
