"""The data of FaaS."""

from __future__ import annotations

from satellite_sdk._models import Model
from satellite_sdk.errors import SatelliteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    #: A layer of an environment, as its server defines it.
    Layer: TypeAlias = str | dict[str, Any]
else:
    Layer = dict


class ExecutionFailed(SatelliteError):
    """A command ended with an error; `result` has its output."""

    result: ExecutionResult


class ExecutionsFailed(SatelliteError):
    """Some executions of a batch had no result. `results` has those that had one, and `None`
    for the others; `errors` has their reasons, by index.
    """

    results: list[ExecutionResult | None]
    errors: dict[int, str]


class ExecutionResult(Model):
    """How a command ended."""

    request_id: str
    #: `success`, `error`, `timeout`, `cancelled`, or a newer word.
    status: str
    stdout: str
    stderr: str
    exit_code: int
    #: Seconds.
    duration: float
    cached: bool
    error: str | None
    #: Both streams are the same text, in which the server merged them.
    is_merged: bool

    @property
    def is_success(self) -> bool:
        """Whether the command succeeded."""
        return self.status == "success"

    def ok(self) -> ExecutionResult:
        """This result, if the command succeeded. Raises `ExecutionFailed` otherwise."""
        if self.is_success:
            return self
        printed = (self.stderr.strip() or self.stdout.strip()).splitlines()
        last = printed[-1][:200] if printed else ""
        error = ExecutionFailed(
            f"the execution {self.request_id} ended with {self.status} "
            f"(exit code {self.exit_code}): {last}"
        )
        error.result = self
        raise error


class Execution(Model):
    """A branch, or an execution that the server has listed."""

    id: str
    status: str
    command: Any
    image: str | None
    started_at: str | None
    exit_code: int | None


class Environment(Model):
    """An environment that commands run in."""

    id: str
    name: str
    base_image: str
    layers: list[Any]
    resources: dict[str, Any] | None
    cache_strategy: Any
    features: dict[str, bool]


class Snapshot(Model):
    """A saved state."""

    id: str
    name: str | None
    container_id: str | None
    created_at: str | None
    size_bytes: int | None


class Instance(Model):
    """A container of the gateway that keeps running."""

    id: str
    name: str | None
    image: str
    status: str


class Output(Model):
    """What an execution prints: `stdout` or `stderr` with `text`, and `exit` with `code`."""

    stream: str
    text: str
    code: int


class ResourceRequirements(Model):
    """The resources of an environment."""

    def __init__(self, *, cpu_cores: float | None = None, memory_mb: int | None = None) -> None:
        super().__init__(cpu_cores=cpu_cores, memory_mb=memory_mb)


class ExecutionRequest(Model):
    """One command of a batch."""

    def __init__(
        self, command: str | Sequence[str], environment: str | None = None, **options: Any
    ) -> None:
        """`options`: those of `ExecutionManager.run`."""
        super().__init__(command=command, environment=environment, **options)


def request(
    command: str | Sequence[str] | Mapping[str, str],
    environment: str | None = None,
    *,
    timeout: float | None = None,
    stdin: bytes | str | None = None,
    env_vars: Mapping[str, str] | None = None,
    resources: ResourceRequirements | Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The arguments of an execution for the native module."""
    if stdin is not None:
        stdin = stdin.encode() if isinstance(stdin, str) else stdin
    given = dict(resources.to_dict() if isinstance(resources, Model) else resources or {})
    cores = given.get("cpu_cores")
    if isinstance(cores, float) and cores.is_integer():
        given["cpu_cores"] = int(cores)
    if not isinstance(command, (str, dict)):
        command = list(command)
    whole = {
        "command": command,
        "environment": environment,
        "timeout": timeout,
        "stdin": None if stdin is None else list(stdin),
        "env_vars": None if env_vars is None else dict(env_vars),
        **given,
        **options,
    }
    return {name: value for name, value in whole.items() if value is not None}


def batch(executions: Sequence[ExecutionRequest | Mapping[str, Any]]) -> list[dict[str, Any]]:
    requests = []
    for one in executions:
        fields = dict(one.to_dict() if isinstance(one, Model) else one)
        requests.append(request(fields.pop("command"), fields.pop("environment", None), **fields))
    return requests


def batch_results(items: list[dict[str, Any]]) -> list[ExecutionResult]:
    results = [ExecutionResult._of(item["result"]) if "result" in item else None for item in items]
    errors = {n: item["error"] for n, item in enumerate(items) if "error" in item}
    if errors:
        first = next(iter(errors.values()))
        error = ExecutionsFailed(f"{len(errors)} of {len(items)} executions failed: {first}")
        error.results, error.errors = results, errors
        raise error
    return [one for one in results if one is not None]


def spec(
    base_image: str | None,
    layers: Sequence[Layer] | None,
    resources: ResourceRequirements | Mapping[str, Any] | None,
    cache_strategy: str | None,
    features: Mapping[str, bool] | None,
) -> dict[str, Any]:
    """The arguments of an environment for the native module."""
    given = resources.to_dict() if isinstance(resources, Model) else resources
    whole = {
        "base_image": base_image,
        "layers": None if layers is None else list(layers),
        "resources": given and {k: v for k, v in given.items() if v is not None},
        "cache_strategy": cache_strategy,
        "features": None if features is None else dict(features),
    }
    return {name: value for name, value in whole.items() if value is not None}


def streamed_text(item: dict[str, Any]) -> str | None:
    return item.get("text")
