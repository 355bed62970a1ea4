"""The async client of Basilica."""

from __future__ import annotations

from satellite_sdk._calls import AsyncClient, AsyncLogStream
from satellite_sdk.basilica.types import (
    ApiKey,
    Deployment,
    DeploymentConfig,
    DeploymentStatus,
    Executor,
    LogLine,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class AsyncBasilicaClient(AsyncClient):
    """Rents machines and runs containers on them."""

    def __init__(
        self, base_url: str | None = None, token: str | None = None, **kwargs: Any
    ) -> None:
        """Without arguments the settings come from `BASILICA_API_URL`, `BASILICA_API_TOKEN` and
        others.

        `kwargs`: `api_version` (`rentals` or `deployments`), `refresh_token`, `token_file`,
        `auth0` (domain and client id), `timeout`, `connect_timeout`, `idle_timeout`,
        `max_retries`, `retry_delay`, `max_retry_delay`, `ca_file`, `allow_plain_http`.
        """
        api_key = kwargs.pop("api_key", None)  # its name in other clients
        super().__init__("basilica", {"url": base_url, "token": token or api_key, **kwargs})

    # Deployments

    async def deploy(self, config: DeploymentConfig) -> Deployment:
        """Starts a container. Never sent twice: if the response is lost, see `matching`."""
        return Deployment._of(await self._call("deploy", config._arguments()))

    async def stop(self, deployment_id: str) -> None:
        """Stops a deployment and releases its machine."""
        await self._call("stop", {"id": deployment_id})

    async def list_deployments(
        self,
        status: str | None = None,
        gpu_type: str | None = None,
        min_gpu_count: int | None = None,
    ) -> list[Deployment]:
        """The deployments, all or those that match."""
        filters = {"status": status, "gpu_type": gpu_type, "min_gpu_count": min_gpu_count}
        return Deployment._list(await self._call("list_deployments", filters))

    async def get(self, deployment_id: str) -> Deployment:
        """Raises `NotFoundError` if it does not exist, or was stopped."""
        return Deployment._of(await self._call("get", {"id": deployment_id}))

    async def status(self, deployment_id: str) -> DeploymentStatus:
        """Its status alone."""
        return DeploymentStatus._of(await self._call("status", {"id": deployment_id}))

    async def matching(self, config: DeploymentConfig) -> list[Deployment]:
        """The deployments that `deploy(config)` may have created, the newest first."""
        return Deployment._list(await self._call("matching", config._arguments()))

    def stream_logs(
        self, deployment_id: str, follow: bool = True, tail: int | None = None
    ) -> AsyncLogStream[LogLine]:
        """The lines of its log, resumed after interruptions, until it is over."""
        arguments = {"id": deployment_id, "follow": follow, "tail": tail}
        return AsyncLogStream(lambda: self._call("logs", arguments), LogLine._of)

    async def restart(self, name: str) -> Deployment:
        """Restarts a deployment of the newer service."""
        return Deployment._of(await self._call("restart", {"id": name}))

    async def events(self, name: str, limit: int = 50) -> list[dict[str, Any]]:
        """What happened to a deployment of the newer service."""
        events: list[dict[str, Any]] = await self._call("events", {"id": name, "limit": limit})
        return events

    # Machines

    async def list_executors(
        self,
        gpu_type: str | None = None,
        min_gpu_count: int | None = None,
        min_gpu_memory_gb: int | None = None,
        city: str | None = None,
        region: str | None = None,
        country: str | None = None,
    ) -> list[Executor]:
        """The available machines, all or those that match."""
        filters = {
            "gpu_type": gpu_type,
            "min_gpu_count": min_gpu_count,
            "min_gpu_memory_gb": min_gpu_memory_gb,
            "city": city,
            "region": region,
            "country": country,
        }
        return Executor._list(await self._call("list_executors", filters))

    async def cpu_offerings(self) -> list[dict[str, Any]]:
        """Machines without GPUs, of the newer service."""
        offerings: list[dict[str, Any]] = await self._call("cpu_offerings")
        return offerings

    # The account

    async def create_api_key(self, name: str, scopes: Sequence[str] = ()) -> ApiKey:
        """Creates a key; its token is shown once."""
        arguments = {"id": name, "scopes": list(scopes)}
        return ApiKey._of(await self._call("create_api_key", arguments))

    async def api_keys(self) -> list[ApiKey]:
        """All keys, without their tokens."""
        return ApiKey._list(await self._call("api_keys"))

    async def delete_api_key(self, name: str) -> None:
        """Deletes a key."""
        await self._call("delete_api_key", {"id": name})

    async def register_ssh_key(self, name: str, public_key: str) -> dict[str, Any]:
        """Registers the account's SSH key, in the newer service."""
        arguments = {"id": name, "public_key": public_key}
        key: dict[str, Any] = await self._call("register_ssh_key", arguments)
        return key

    async def get_ssh_key(self) -> dict[str, Any] | None:
        """The account's SSH key."""
        key: dict[str, Any] | None = await self._call("ssh_key")
        return key

    async def delete_ssh_key(self) -> None:
        """Deletes it."""
        await self._call("delete_ssh_key")

    async def get_balance(self) -> dict[str, Any]:
        """The account's balance, in the newer service."""
        balance: dict[str, Any] = await self._call("balance")
        return balance

    async def health(self) -> dict[str, Any]:
        """The server's health."""
        health: dict[str, Any] = await self._call("health")
        return health
