"""The data of Basilica."""

from __future__ import annotations

from satellite_sdk._models import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, ClassVar


class DeploymentConfig:
    """What to deploy. It is checked, with all wrong values at once, when it is deployed."""

    def __init__(
        self,
        executor_id: str | None = None,
        image: str = "",
        ssh_key: str | None = None,
        *,
        cpu_cores: float = 1.0,
        memory_mb: int = 1024,
        storage_mb: int = 10240,
        gpu_count: int = 0,
        gpu_types: Sequence[str] = (),
        gpu: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        ports: Sequence[Any] = (),
        volumes: Sequence[Mapping[str, Any]] = (),
        command: Sequence[str] | None = None,
        no_ssh: bool = False,
        name: str | None = None,
        replicas: int = 1,
        ttl: float | None = None,
        public: bool = False,
    ) -> None:
        """`gpu`: requirements in place of an executor, such as
        `{"count": 1, "min_memory_gb": 40, "gpu_type": "A100"}`.
        `ports`: `{"container": 80, "host": 8080}`, also with `"protocol": "udp"`; a pair; or one
        number for both. `volumes`: `{"host_path", "container_path", "read_only"}`.
        `ttl`: seconds. The last four and `ttl` need the API version `deployments`.
        """
        self.executor_id = executor_id
        self.image = image
        self.ssh_key = ssh_key
        self.cpu_cores = cpu_cores
        self.memory_mb = memory_mb
        self.storage_mb = storage_mb
        self.gpu_count = gpu_count
        self.gpu_types = list(gpu_types)
        self.gpu = gpu
        self.environment: dict[str, str] = dict(environment or {})
        self.ports: list[Any] = list(ports)
        self.volumes: list[Any] = list(volumes)
        self.command = command
        self.no_ssh = no_ssh
        self.name = name
        self.replicas = replicas
        self.ttl = ttl
        self.public = public

    def _arguments(self) -> dict[str, Any]:
        fields = dict(self.__dict__)
        fields["ports"] = [_port(port) for port in self.ports]
        fields["cpu_cores"] = float(self.cpu_cores)
        return fields

    def __repr__(self) -> str:
        return f"DeploymentConfig({self.executor_id!r}, {self.image!r})"


def _port(port: Any) -> dict[str, Any]:
    if isinstance(port, int):
        return {"container_port": port, "host_port": port}
    if isinstance(port, (tuple, list)) and len(port) == 2:
        return {"container_port": port[0], "host_port": port[1]}
    if not isinstance(port, dict):
        raise TypeError(f"ports: expected a dict, a pair or a number, found {port!r}")
    names = {"container": "container_port", "host": "host_port"}
    mapping: dict[str, Any] = {names.get(str(name), str(name)): v for name, v in port.items()}
    mapping.setdefault("host_port", mapping.get("container_port"))
    if isinstance(mapping.get("protocol"), str):
        mapping["protocol"] = mapping["protocol"].lower()
    return mapping


class SshAccess(Model):
    """Where to log in. `str()` is the command."""

    user: str
    host: str
    port: int
    command: str

    def __str__(self) -> str:
        return self.command


class Deployment(Model):
    """A deployment."""

    id: str
    #: `pending`, `running`, `stopped`, `failed`, or a newer word.
    status: str
    #: Why it failed.
    reason: str | None
    ssh_access: SshAccess | None
    created_at: str | None
    executor_id: str | None
    image: str | None
    resources: dict[str, Any] | None
    ports: list[dict[str, Any]]
    url: str | None

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> Deployment:
        self = super()._of(fields)
        if fields.get("ssh_access") is not None:
            self.ssh_access = SshAccess._of(fields["ssh_access"])
        return self


class DeploymentStatus(Model):
    """How a deployment is."""

    status: str
    reason: str | None

    @property
    def is_over(self) -> bool:
        """Whether it has stopped or failed."""
        return self.status in ("stopped", "failed")

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}" if self.reason else self.status


class Executor(Model):
    """A machine."""

    id: str
    gpu_specs: list[dict[str, Any]]
    cpu_specs: dict[str, Any]
    location: str | None
    hourly_rate_cents: float | None
    available_until: str | None
    verification_score: float
    uptime_percentage: float


class LogLine(Model):
    """A line of a log. `str()` is its message."""

    timestamp: str
    #: `stdout` or `stderr`.
    stream: str
    message: str

    def __str__(self) -> str:
        return self.message


class ApiKey(Model):
    """An API key. `token` is present when it was just created."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"token"})

    name: str
    created_at: str
    token: str
