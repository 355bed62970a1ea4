"""The async client of FaaS."""

from __future__ import annotations

import os

from satellite_sdk._calls import AsyncClient
from satellite_sdk.faas.managers import (
    EnvironmentManager,
    ExecutionManager,
    GatewayExtras,
    SnapshotManager,
)
from satellite_sdk.faas.types import ExecutionResult, ResourceRequirements, request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class FaaSClient(AsyncClient):
    """Runs commands on a FaaS server."""

    environments: EnvironmentManager
    executions: ExecutionManager
    snapshots: SnapshotManager
    #: Routes of the real gateway that are not in the contract.
    gateway: GatewayExtras

    def __init__(
        self, api_key: str | None = None, endpoint: str | None = None, **options: Any
    ) -> None:
        """Without arguments the settings come from `FAAS_API_KEY`, `FAAS_ENDPOINT` and others.

        `options`: `dialect` (`gateway` or `server`), `max_parallel`, `timeout`,
        `connect_timeout`, `idle_timeout`, `max_retries`, `retry_delay`, `max_retry_delay`,
        `ca_file`, `allow_plain_http`; times in seconds.
        """
        super().__init__("faas", {"token": api_key, "url": endpoint, **options})
        self.environments = EnvironmentManager(self)
        self.executions = ExecutionManager(self)
        self.snapshots = SnapshotManager(self)
        self.gateway = GatewayExtras(self)

    @property
    def endpoint(self) -> str:
        """The server's address."""
        return self.url

    async def execute(
        self,
        code: str,
        environment: str | None = "alpine-fast",
        timeout: float = 30,
        resources: ResourceRequirements | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ExecutionResult:
        """Runs a shell script. A command that fails is not an error until `result.ok()`."""
        arguments = request(code, environment, timeout=timeout, resources=resources, **options)
        return ExecutionResult._of(await self._call("execute", arguments))

    async def execute_file(
        self,
        file_path: str | os.PathLike[str],
        environment: str | None = "alpine-fast",
        timeout: float = 30,
        **options: Any,
    ) -> ExecutionResult:
        """Runs a file by its extension: `.py`, `.js`, `.rb`, `.pl`; others are shell scripts."""
        command = {"file": os.fspath(file_path)}
        arguments = request(command, environment, timeout=timeout, **options)
        return ExecutionResult._of(await self._call("execute", arguments))

    async def health(self) -> dict[str, Any]:
        """The server's health."""
        health: dict[str, Any] = await self._call("health")
        return health
