"""The data of SkyPilot."""

from __future__ import annotations

from satellite_sdk._models import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, TypeAlias


class AWSCredentials(Model):
    """Credentials of a tenant. The server stores them, and shows them to its users."""

    _hidden: ClassVar[frozenset[str]] = frozenset(
        {"access_key_id", "secret_access_key", "session_token"}
    )

    def __init__(
        self,
        access_key_id: str,
        secret_access_key: str,
        region: str | None = None,
        session_token: str | None = None,
    ) -> None:
        super().__init__(
            cloud="aws",
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            region=region,
            session_token=session_token,
        )


class AzureCredentials(Model):
    """Credentials of a tenant."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"client_secret"})

    def __init__(
        self, tenant_id: str, client_id: str, client_secret: str, subscription_id: str
    ) -> None:
        super().__init__(
            cloud="azure",
            tenant_id=tenant_id,
            client_id=client_id,
            client_secret=client_secret,
            subscription_id=subscription_id,
        )


class GCPCredentials(Model):
    """The server takes none with a request: a call with these raises `UnsupportedError`."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"service_account"})

    def __init__(self, service_account: str) -> None:
        super().__init__(cloud="gcp", service_account=service_account)


if TYPE_CHECKING:
    Credentials: TypeAlias = AWSCredentials | AzureCredentials | GCPCredentials


class Health(Model):
    """The server's health."""

    status: str
    api_version: int
    version: str


class Request(Model):
    """Work that the server has accepted."""

    request_id: str


class RequestStatus(Model):
    """How a request is: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED`, `CANCELLED`, `WAITING`."""

    request_id: str
    name: str
    status: str
    status_msg: str | None
    cluster_name: str | None
    created_at: float
    finished_at: float | None


class Cluster(Model):
    """A cluster: `INIT`, `UP` or `STOPPED`."""

    name: str
    status: str
    cloud: str | None
    region: str | None
    resources_str: str | None
    accelerators: str | None
    nodes: int
    autostop: int
    to_down: bool
    launched_at: float
    user_name: str
    user_hash: str

    @property
    def provider(self) -> str | None:
        """Another name for `cloud`."""
        return self.cloud


class Job(Model):
    """A job of a cluster."""

    job_id: int
    job_name: str | None
    status: str


class ExecuteResult(Model):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


class Estimate(Model):
    """What a task would cost."""

    provider: str
    region: str | None
    instance_type: str
    accelerators: str | None
    nodes: int
    currency: str
    cost_per_hour: float
    #: False: rounded to cents, as the server prints it.
    is_exact: bool
    hours: float
    estimated_cost: float


def given(
    credentials: Credentials | None = None, envs: Mapping[str, str] | None = None, **options: Any
) -> dict[str, Any]:
    """The arguments that are not `None`."""
    whole = dict(options)
    if envs is not None:
        whole["envs"] = dict(envs)
    if credentials is not None:
        fields = credentials.to_dict()
        whole["credentials"] = {k: v for k, v in fields.items() if v is not None}
    return {name: value for name, value in whole.items() if value is not None}


def line(item: str) -> str:
    return item
