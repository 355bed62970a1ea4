"""The public face of `faas_sdk`, the Python SDK in the gateway's own repository.

A program for it runs with its import changed: `from faas_sdk import FaaSClient` becomes
`from satellite_sdk.faas.compat import FaaSClient`.
"""

from __future__ import annotations

import hashlib
from enum import Enum

from satellite_sdk._models import Model
from satellite_sdk.errors import SatelliteError
from satellite_sdk.faas.client import FaaSClient as _FaaSClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self


class Runtime(Enum):
    """Where a command runs."""

    DOCKER = "docker"
    FIRECRACKER = "firecracker"
    AUTO = "auto"


class ExecutionMode(Enum):
    """How its container is used."""

    EPHEMERAL = "ephemeral"
    CACHED = "cached"
    CHECKPOINTED = "checkpointed"
    BRANCHED = "branched"
    PERSISTENT = "persistent"


class ClientConfig:
    """The settings of a client."""

    def __init__(
        self,
        base_url: str = "http://localhost:8080",
        runtime: Runtime = Runtime.AUTO,
        cache_enabled: bool = True,
        max_retries: int | None = None,
        timeout: float = 30,
        api_key: str | None = None,
    ) -> None:
        self.base_url = base_url
        self.runtime = runtime
        self.cache_enabled = cache_enabled
        self.max_retries = max_retries
        self.timeout = timeout
        self.api_key = api_key


class ExecutionResult(Model):
    """How a command ended."""

    request_id: str
    output: str
    logs: str | None
    error: str | None
    duration_ms: int
    cache_hit: bool
    runtime_used: str | None
    stdout: str
    stderr: str
    exit_code: int


class ClientMetrics(Model):
    """What this client has done."""

    total_requests: int
    cache_hit_rate: float
    error_rate: float


_PROGRAMS = {
    "python": (["python3", "-c"], "python:3.11-slim"),
    "javascript": (["node", "-e"], "node:18-alpine"),
    "bash": (["sh", "-c"], "alpine:latest"),
}


class FaaSClient:
    """Runs commands on the gateway."""

    def __init__(
        self, base_url: str = "http://localhost:8080", config: ClientConfig | None = None
    ) -> None:
        self.config = config or ClientConfig(base_url)
        #: The client that sends. It has `close()`, as the session of the original.
        self.session = _FaaSClient(
            self.config.api_key,
            self.config.base_url,
            max_retries=self.config.max_retries,
            dialect="gateway",
        )
        self._total = self._hits = self._errors = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes idle connections."""
        await self.session.close()

    async def execute(
        self,
        command: str | Sequence[str],
        image: str = "alpine:latest",
        runtime: Runtime | None = None,
        env_vars: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        working_dir: str | None = None,
        timeout_ms: int | None = None,
        cache_key: str | None = None,
        mode: ExecutionMode | None = None,
        branch_from: str | None = None,
    ) -> ExecutionResult:
        """Runs a command."""
        text = command if isinstance(command, str) else "\0".join(command)
        if cache_key is None and self.config.cache_enabled:
            cache_key = self._get_cache_key(text)
        self._total += 1
        try:
            result = await self.session.executions.run(
                command,  # type: ignore[arg-type]
                image,
                env_vars=None if env_vars is None else dict(env_vars),
                timeout=self.config.timeout if timeout_ms is None else timeout_ms / 1000,
                runtime=(runtime or self.config.runtime).value,
                working_dir=working_dir,
                cache_key=cache_key,
                mode=None if mode is None else mode.value,
                branch_from=branch_from,
            )
        except SatelliteError:
            self._errors += 1
            raise
        self._hits += result.cached
        fields = result.to_dict()
        return ExecutionResult(
            request_id=result.request_id,
            output=fields.get("output") or result.stdout,
            logs=fields.get("logs") or result.stderr,
            error=result.error,
            duration_ms=round(result.duration * 1000),
            cache_hit=result.cached,
            runtime_used=fields.get("runtime_used"),
            stdout=result.stdout,
            stderr=result.stderr,
            exit_code=result.exit_code,
        )

    async def run_python(self, code: str, **options: Any) -> ExecutionResult:
        """Runs Python code."""
        return await self._run("python", code, options)

    async def run_javascript(self, code: str, **options: Any) -> ExecutionResult:
        """Runs JavaScript code."""
        return await self._run("javascript", code, options)

    async def run_bash(self, code: str, **options: Any) -> ExecutionResult:
        """Runs a shell script."""
        return await self._run("bash", code, options)

    async def fork_execution(self, parent_id: str, command: str, **options: Any) -> ExecutionResult:
        """Runs a command from the state of an execution."""
        return await self.execute(
            command, mode=ExecutionMode.BRANCHED, branch_from=parent_id, **options
        )

    async def create_snapshot(
        self, container_id: str, name: str | None = None, description: str | None = None
    ) -> dict[str, Any]:
        """Saves the state of a container. The gateway ignores the description."""
        return (await self.session.snapshots.create(container_id, name)).to_dict()

    async def prewarm(self, image: str, count: int = 1) -> None:
        """Keeps containers of an image ready."""
        await self.session.gateway.prewarm(image, count, self.config.runtime.value)

    async def stream_logs(self, execution_id: str) -> AsyncIterator[str]:
        """What an execution prints."""
        async for event in self.session.executions.logs(execution_id, follow=True):
            if event.stream != "exit":
                yield event.text

    async def get_metrics(self) -> dict[str, Any]:
        """The gateway's counters."""
        metrics: dict[str, Any] = await self.session.gateway.metrics()
        return metrics

    def get_client_metrics(self) -> ClientMetrics:
        """This client's counters."""
        total = max(self._total, 1)
        return ClientMetrics(
            total_requests=self._total,
            cache_hit_rate=self._hits / total,
            error_rate=self._errors / total,
        )

    async def health_check(self) -> dict[str, Any]:
        """The gateway's health."""
        return await self.session.health()

    health = health_check

    async def _run(self, language: str, code: str, options: dict[str, Any]) -> ExecutionResult:
        program, image = _PROGRAMS[language]
        return await self.execute([*program, code], **{"image": image, **options})

    def _get_cache_key(self, content: str) -> str:
        return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


class FunctionBuilder:
    """The options of an execution, one by one."""

    def __init__(self, client: FaaSClient, command: str = "") -> None:
        self._client = client
        self._options: dict[str, Any] = {"command": command}

    def command(self, command: str) -> Self:
        return self._with("command", command)

    def image(self, image: str) -> Self:
        return self._with("image", image)

    def runtime(self, runtime: Runtime) -> Self:
        return self._with("runtime", runtime)

    def env(self, name: str, value: str) -> Self:
        return self._with("env_vars", {**self._options.get("env_vars", {}), name: value})

    def working_dir(self, path: str) -> Self:
        return self._with("working_dir", path)

    def timeout_ms(self, limit: int) -> Self:
        return self._with("timeout_ms", limit)

    async def execute(self) -> ExecutionResult:
        return await self._client.execute(**self._options)

    def _with(self, name: str, value: Any) -> Self:
        self._options[name] = value
        return self


async def run(
    code: str, language: str = "python", base_url: str = "http://localhost:8080"
) -> ExecutionResult:
    """Runs code once."""
    if language not in _PROGRAMS:
        raise ValueError(f"language: expected one of {', '.join(_PROGRAMS)}, found {language!r}")
    async with FaaSClient(base_url) as client:
        return await client._run(language, code, {})
