"""The parts of the async client."""

from __future__ import annotations

from satellite_sdk._calls import AsyncLogStream
from satellite_sdk.faas.types import (
    Environment,
    Execution,
    ExecutionRequest,
    ExecutionResult,
    Instance,
    Layer,
    Output,
    ResourceRequirements,
    Snapshot,
    batch,
    batch_results,
    request,
    spec,
    streamed_text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builtins import list as List  # the managers have methods of this name
    from collections.abc import Mapping, Sequence
    from typing import Any

    from satellite_sdk._calls import AsyncClient


class EnvironmentManager:
    """Environments."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self) -> List[Environment]:
        """All environments."""
        return Environment._list(await self._client._call("environments"))

    async def create(
        self,
        name: str,
        base_image: str,
        layers: Sequence[Layer] | None = None,
        resources: ResourceRequirements | Mapping[str, Any] | None = None,
        *,
        cache_strategy: str | None = None,
        features: Mapping[str, bool] | None = None,
    ) -> Environment:
        """Creates an environment."""
        given = spec(base_image, layers, resources, cache_strategy, features)
        arguments = {"name": name, "spec": given}
        return Environment._of(await self._client._call("create_environment", arguments))

    async def get(self, name: str) -> Environment:
        """Raises `NotFoundError` if there is none with this name."""
        return Environment._of(await self._client._call("environment", {"id": name}))

    async def update(
        self,
        name: str,
        *,
        base_image: str | None = None,
        layers: Sequence[Layer] | None = None,
        resources: ResourceRequirements | Mapping[str, Any] | None = None,
        cache_strategy: str | None = None,
        features: Mapping[str, bool] | None = None,
    ) -> Environment:
        """Changes what is given; the rest stays."""
        given = spec(base_image, layers, resources, cache_strategy, features)
        arguments = {"name": name, "spec": given}
        return Environment._of(await self._client._call("update_environment", arguments))

    async def delete(self, name: str) -> bool:
        """Deletes an environment."""
        await self._client._call("delete_environment", {"id": name})
        return True


class ExecutionManager:
    """Executions."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def run(
        self,
        command: Sequence[str],
        environment: str | None = None,
        stdin: bytes | str | None = None,
        env_vars: Mapping[str, str] | None = None,
        timeout: float = 30,
        **options: Any,
    ) -> ExecutionResult:
        """Runs a command: a list of arguments, or a shell script.

        `options`: `working_dir`, `checked` (reports the real exit code on servers that do not),
        `memory_mb`, `cpu_cores`, `runtime`, `mode`, `cache_key`, `snapshot`, `branch_from`.
        """
        arguments = request(
            command, environment, stdin=stdin, env_vars=env_vars, timeout=timeout, **options
        )
        return ExecutionResult._of(await self._client._call("execute", arguments))

    async def run_batch(
        self, executions: Sequence[ExecutionRequest | Mapping[str, Any]]
    ) -> List[ExecutionResult]:
        """Runs several, at most `max_parallel` at once. Raises `ExecutionsFailed`, which has the
        results of the others, if one had no result.
        """
        return batch_results(await self._client._call("run_batch", batch(executions)))

    def stream(
        self, command: str | Sequence[str], environment: str | None = None, **kwargs: Any
    ) -> AsyncLogStream[str]:
        """The output as it is printed, both streams together."""
        arguments = request(command, environment, **kwargs)
        return AsyncLogStream(lambda: self._client._call("stream", arguments), streamed_text)

    def stream_events(
        self, command: str | Sequence[str], environment: str | None = None, **kwargs: Any
    ) -> AsyncLogStream[Output]:
        """The output with the name of its stream, and the exit code at the end."""
        arguments = request(command, environment, **kwargs)
        return AsyncLogStream(lambda: self._client._call("stream", arguments), Output._of)

    def logs(self, execution_id: str, follow: bool = False) -> AsyncLogStream[Output]:
        """What an execution has printed and, with `follow`, will print."""
        arguments = {"id": execution_id, "follow": follow}
        return AsyncLogStream(lambda: self._client._call("logs", arguments), Output._of)

    async def list(self) -> List[Execution]:
        """All executions."""
        return Execution._list(await self._client._call("executions"))

    async def get(self, execution_id: str) -> Execution:
        """Raises `NotFoundError` if there is none with this id."""
        return Execution._of(await self._client._call("execution", {"id": execution_id}))

    async def cancel(self, execution_id: str) -> bool:
        """Ends a running execution."""
        await self._client._call("cancel", {"id": execution_id})
        return True


class Branch(Execution):
    """An execution that was restored from a snapshot."""

    _client: AsyncClient

    async def execute(
        self, command: str | Sequence[str], timeout: float = 30, **options: Any
    ) -> ExecutionResult:
        """Runs a command in this branch."""
        arguments = request(command, timeout=timeout, branch_from=self.id, **options)
        return ExecutionResult._of(await self._client._call("execute", arguments))


class SnapshotManager:
    """Snapshots."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, execution_id: str, name: str | None = None) -> Snapshot:
        """Saves the state of an execution."""
        arguments = {"id": execution_id, "name": name}
        return Snapshot._of(await self._client._call("create_snapshot", arguments))

    async def create_from_script(self, script: str, name: str, **options: Any) -> Snapshot:
        """Saves the state after a script, which has to succeed."""
        arguments = {"id": name, "request": request(script, **options)}
        return Snapshot._of(await self._client._call("create_snapshot_from_script", arguments))

    async def restore(self, snapshot_id: str, branch_count: int = 1) -> Any:
        """Starts from a snapshot: one branch, or with `branch_count` a list of them."""
        if branch_count == 1:
            return self._branch(await self._client._call("restore", {"id": snapshot_id}))
        arguments = {"id": snapshot_id, "count": branch_count}
        return [self._branch(one) for one in await self._client._call("branch", arguments)]

    async def list(self) -> List[Snapshot]:
        """All snapshots."""
        return Snapshot._list(await self._client._call("snapshots"))

    async def get(self, snapshot_id: str) -> Snapshot:
        """Raises `NotFoundError` if there is none with this id."""
        return Snapshot._of(await self._client._call("snapshot", {"id": snapshot_id}))

    async def delete(self, snapshot_id: str) -> bool:
        """Deletes a snapshot."""
        await self._client._call("delete_snapshot", {"id": snapshot_id})
        return True

    def _branch(self, fields: dict[str, Any]) -> Branch:
        branch = Branch._of(fields)
        branch._client = self._client
        return branch


class GatewayExtras:
    """Routes of the real gateway that are not in the contract."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def fork(self, command: str | Sequence[str], **options: Any) -> List[ExecutionResult]:
        """Runs variants of a command."""
        arguments = request(command, **options)
        return ExecutionResult._list(await self._client._call("fork", arguments))

    async def fork_execution(
        self, execution_id: str, command: str | Sequence[str], **options: Any
    ) -> ExecutionResult:
        """Runs a command from the state of an execution."""
        arguments = {"id": execution_id, "request": request(command, **options)}
        return ExecutionResult._of(await self._client._call("fork_execution", arguments))

    async def create_instance(self, image: str, name: str | None = None) -> Instance:
        """Starts a container that keeps running."""
        arguments = {"id": image, "name": name}
        return Instance._of(await self._client._call("create_instance", arguments))

    async def instances(self) -> List[Instance]:
        """All instances."""
        return Instance._list(await self._client._call("instances"))

    async def instance(self, instance_id: str) -> Instance:
        """One of them."""
        return Instance._of(await self._client._call("instance", {"id": instance_id}))

    async def exec(
        self, instance_id: str, command: str | Sequence[str], **options: Any
    ) -> ExecutionResult:
        """Runs a command in an instance."""
        arguments = {"id": instance_id, "request": request(command, **options)}
        return ExecutionResult._of(await self._client._call("exec", arguments))

    async def stop_instance(self, instance_id: str) -> None:
        """Stops an instance."""
        await self._client._call("stop_instance", {"id": instance_id})

    async def prewarm(self, image: str, count: int = 1, runtime: str | None = None) -> None:
        """Keeps containers of an image ready."""
        arguments = {"id": image, "count": count, "runtime": runtime}
        await self._client._call("prewarm", arguments)

    async def pools(self) -> Any:
        """The prewarmed containers."""
        return await self._client._call("pools")

    async def metrics(self) -> Any:
        """The gateway's counters."""
        return await self._client._call("metrics")
