"""The client of the platform."""

from __future__ import annotations

from satellite_sdk import _native
from satellite_sdk.errors import SatelliteError

from luml_satellite_sdk.models import Artifact, Deployment, OrbitSecret, Satellite, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from typing_extensions import Self


class Response:
    """A complete response, with any status."""

    def __init__(self, status_code: int, headers: dict[str, str], content: bytes) -> None:
        self.status_code = status_code
        #: Names are in lower case.
        self.headers = headers
        self.content = content

    @property
    def text(self) -> str:
        """The body as text; invalid UTF-8 is replaced."""
        return self.content.decode("utf-8", "replace")

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code <= 299

    def json(self) -> Any:
        """The body as JSON."""
        import json

        return json.loads(self.content)

    def raise_for_status(self) -> Response:
        """Raises `SatelliteError` unless the status is 2xx."""
        if self.is_success:
            return self
        error = SatelliteError(f"the platform answered {self.status_code}: {self.text[:200]}")
        error.status = self.status_code
        raise error

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


class PlatformClient:
    """All calls of the platform. Extend it with methods for other endpoints:

        class MyClient(PlatformClient):
            def list_models(self) -> list[dict]:
                return self.get("/satellites/v1/models").raise_for_status().json()

    A handler whose argument `client` is annotated with the subclass receives one, as does
    `run(client_class=MyClient)`.
    """

    _connection: _native.Connection

    def __init__(
        self,
        platform_url: str | None = None,
        token: str | None = None,
        *,
        ca_file: str | None = None,
        max_backoff_sec: float | None = None,
        allow_plain_http: bool | None = None,
    ) -> None:
        """Without arguments the settings come from the `LUML_*` variables."""
        options = {
            "platform_url": platform_url,
            "satellite_token": token,
            "ca_file": ca_file,
            "max_backoff_sec": max_backoff_sec,
            "allow_plain_http": allow_plain_http,
        }
        given = {name: value for name, value in options.items() if value is not None}
        self._connection = _native.connect("platform", given)

    @classmethod
    def _of(cls, connection: _native.Connection) -> Self:
        self = cls.__new__(cls)
        self._connection = connection
        return self

    def _call(self, operation: str, /, **arguments: Any) -> Any:
        return self._connection.call(operation, arguments)

    @property
    def url(self) -> str:
        """The platform's address."""
        return self._connection.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    # Tasks

    def poll_tasks(self) -> list[Task]:
        """The pending tasks, oldest first."""
        return self.list_tasks("pending")

    def list_tasks(self, status: str | None = None) -> list[Task]:
        """The tasks with a status, or all."""
        return Task._list(self._call("list_tasks", status=status))

    def claim_task(self, task_id: str) -> bool:
        """Marks a task as running. False if it no longer exists, or another worker has it."""
        claimed: bool = self._call("claim_task", id=task_id)
        return claimed

    def update_task_status(
        self, task_id: str, status: str, message: str = "", *, result: Any = None
    ) -> None:
        """Reports a task: `completed` or `done`, `failed`, `processing` or `running`."""
        if result is not None:
            self._call("update_task_status", id=task_id, status=status, result=result)
        else:
            self._call("update_task_status", id=task_id, status=status, message=message)

    # Deployments, secrets and artifacts

    def list_deployments(self) -> list[Deployment]:
        """The deployments of this satellite."""
        return Deployment._list(self._call("list_deployments"))

    def get_deployment(self, deployment_id: str) -> Deployment:
        """Raises `NotFoundError` if there is none with this id."""
        return Deployment._of(self._call("get_deployment", id=deployment_id))

    def update_deployment(self, deployment_id: str, **changes: Any) -> Deployment:
        """Changes `status`, `inference_url`, `schemas`, `error_message` or `tags`, and keeps the
        others: the platform itself would clear those that are left out.
        """
        return Deployment._of(self._call("update_deployment", id=deployment_id, changes=changes))

    def update_deployment_status(self, deployment_id: str, status: str) -> Deployment:
        """Changes the status alone."""
        fields = self._call("update_deployment_status", id=deployment_id, status=status)
        return Deployment._of(fields)

    def delete_deployment(self, deployment_id: str) -> None:
        """Raises `ConflictError` unless its deletion was requested."""
        self._call("delete_deployment", id=deployment_id)

    def fetch_secrets(self, deployment_id: str) -> dict[str, str]:
        """The values of a deployment's secrets, by the name of their variable or attribute."""
        secrets: dict[str, str] = self._call("fetch_secrets", id=deployment_id)
        return secrets

    def get_secret(self, secret_id: str) -> OrbitSecret:
        """A secret, by its id."""
        return OrbitSecret._of(self._call("get_secret", id=secret_id))

    def get_secrets(self) -> list[OrbitSecret]:
        """All secrets of the orbit."""
        return OrbitSecret._list(self._call("get_secrets"))

    def get_artifact(self, artifact_id: str) -> Artifact:
        """A model artifact, with a URL to download it."""
        return Artifact._of(self._call("get_artifact", id=artifact_id))

    def artifact_download_url(self, artifact_id: str) -> str:
        """A presigned URL, which works for some hours."""
        url: str = self._call("artifact_download_url", id=artifact_id)
        return url

    def authorize_inference(self, api_key: str) -> bool:
        """Whether a user's key may use this satellite's deployments."""
        authorized: bool = self._call("authorize_inference", id=api_key)
        return authorized

    # Pairing

    def pair(self, code: str) -> str:
        """Exchanges a pairing code for a token, where the platform supports that."""
        token: str = self._call("pair", id=code)
        return token

    def register(
        self, base_url: str, capabilities: Mapping[str, Any], slug: str | None = None
    ) -> Satellite:
        """Registers this satellite. `run` does that if `LUML_BASE_URL` is set."""
        fields = self._call(
            "register", base_url=base_url, capabilities=dict(capabilities), slug=slug
        )
        return Satellite._of(fields)

    # Raw HTTP

    def get(self, path: str, **kwargs: Any) -> Response:
        """`GET`; retried after transient faults. Arguments: `params`, `timeout`."""
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Response:
        """`POST`; arguments: `json`, `params`, `timeout`. Never sent twice if it may have
        arrived.
        """
        return self.request("POST", path, **kwargs)

    def put(self, path: str, **kwargs: Any) -> Response:
        """`PUT`; retried after transient faults."""
        return self.request("PUT", path, **kwargs)

    def patch(self, path: str, **kwargs: Any) -> Response:
        """`PATCH`; never sent twice if it may have arrived."""
        return self.request("PATCH", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Response:
        """`DELETE`; retried after transient faults."""
        return self.request("DELETE", path, **kwargs)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: float | None = None,
    ) -> Response:
        """Any request, with the token. An error status is a response, not an exception.

        `timeout`: seconds for the call with its retries; by default 120.
        """
        if params:
            from urllib.parse import urlencode

            path += ("&" if "?" in path else "?") + urlencode(params, doseq=True)
        status, headers, body = self._call(
            "http", method=method, path=path, body=json, timeout=timeout
        )
        return Response(status, dict(headers), body)
