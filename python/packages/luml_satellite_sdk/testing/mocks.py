"""A platform client in memory."""

from __future__ import annotations

import json as _json
import time

from satellite_sdk.errors import NotFoundError

from luml_satellite_sdk.client import PlatformClient, Response
from luml_satellite_sdk.models import Artifact, Deployment, OrbitSecret, Satellite, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    T = TypeVar("T")


def mock_task(
    task_id: str = "task-1",
    task_type: str = "deploy",
    payload: Any = None,
    status: str = "pending",
    **fields: Any,
) -> Task:
    """A task, for `MockPlatformClient` or `MockPlatform`."""
    payload = {} if payload is None else payload
    created_at = fields.pop("created_at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    return Task(
        id=task_id, type=task_type, payload=payload, status=status, created_at=created_at, **fields
    )


class MockPlatformClient(PlatformClient):
    """A client without a platform. It keeps what handlers report:

    client = MockPlatformClient()
    client.add_task(mock_task("t-1", "deploy", {"deployment_id": "d-1"}))
    handle_deploy("t-1", {"deployment_id": "d-1"}, client)
    assert client.task_statuses["t-1"] == "completed"
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        #: The last status of each task, in the words of the handler.
        self.task_statuses: dict[str, str] = {}
        self.task_messages: dict[str, str] = {}
        self.task_results: dict[str, Any] = {}
        self.deployments: dict[str, Deployment] = {}
        #: The secrets of each deployment.
        self.secrets: dict[str, dict[str, str]] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.inference_keys: set[str] = set()
        #: Responses of raw requests, by `"GET /path"`; others are 404.
        self.responses: dict[str, Response] = {}
        #: Raw requests: method, path, JSON.
        self.requests: list[tuple[str, str, Any]] = []

    @property
    def url(self) -> str:
        return "mock://platform"

    def add_task(self, task: Task) -> Task:
        """Adds a task of `mock_task`."""
        self.tasks[task.id] = task
        return task

    def add_deployment(self, deployment_id: str, **fields: Any) -> Deployment:
        """Adds a deployment, with defaults for the fields that are not given."""
        defaults: dict[str, Any] = {
            "name": deployment_id,
            "status": "pending",
            "artifact_id": "",
            "artifact_name": "",
            "inference_url": None,
            "satellite_parameters": {},
            "dynamic_attributes_secrets": {},
            "env_variables_secrets": {},
            "env_variables": {},
            "schemas": None,
            "error_message": None,
            "tags": None,
        }
        deployment = Deployment(id=deployment_id, **{**defaults, **fields})
        self.deployments[deployment_id] = deployment
        return deployment

    def add_response(self, method: str, path: str, body: Any, status: int = 200) -> None:
        """The response of a raw request."""
        content = _json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        self.responses[f"{method.upper()} {path}"] = Response(status, headers, content)

    def list_tasks(self, status: str | None = None) -> list[Task]:
        tasks = sorted(self.tasks.values(), key=lambda task: (task.created_at, task.id))
        return [task for task in tasks if status in (None, task.status)]

    def claim_task(self, task_id: str) -> bool:
        task = self.tasks.get(task_id)
        if task is None or task.status != "pending":
            return False
        task.status = "running"
        return True

    def update_task_status(
        self, task_id: str, status: str, message: str = "", *, result: Any = None
    ) -> None:
        self.task_statuses[task_id] = status
        self.task_messages[task_id] = message
        if result is not None:
            self.task_results[task_id] = result
        if task_id in self.tasks:
            words = {"completed": "done", "processing": "running"}
            self.tasks[task_id].status = words.get(status, status)

    def list_deployments(self) -> list[Deployment]:
        return list(self.deployments.values())

    def get_deployment(self, deployment_id: str) -> Deployment:
        return _known(self.deployments, deployment_id, "deployment")

    def update_deployment(self, deployment_id: str, **changes: Any) -> Deployment:
        deployment = self.get_deployment(deployment_id)
        deployment.__dict__.update(changes)
        return deployment

    def update_deployment_status(self, deployment_id: str, status: str) -> Deployment:
        return self.update_deployment(deployment_id, status=status)

    def delete_deployment(self, deployment_id: str) -> None:
        self.get_deployment(deployment_id)
        del self.deployments[deployment_id]

    def fetch_secrets(self, deployment_id: str) -> dict[str, str]:
        return dict(self.secrets.get(deployment_id, {}))

    def get_secrets(self) -> list[OrbitSecret]:
        return [
            OrbitSecret(id=name, name=name, value=value, tags=None)
            for secrets in self.secrets.values()
            for name, value in secrets.items()
        ]

    def get_secret(self, secret_id: str) -> OrbitSecret:
        return _known({one.id: one for one in self.get_secrets()}, secret_id, "secret")

    def get_artifact(self, artifact_id: str) -> Artifact:
        return _known(self.artifacts, artifact_id, "artifact")

    def artifact_download_url(self, artifact_id: str) -> str:
        return self.get_artifact(artifact_id).url

    def authorize_inference(self, api_key: str) -> bool:
        return api_key in self.inference_keys

    def pair(self, code: str) -> str:
        return f"token-of-{code}"

    def register(
        self, base_url: str, capabilities: Mapping[str, Any], slug: str | None = None
    ) -> Satellite:
        return Satellite(
            id="satellite-1", orbit_id="orbit-1", name=None, paired=True, status="active"
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: float | None = None,
    ) -> Response:
        self.requests.append((method, path, json))
        unknown = Response(404, {}, b'{"detail": "Not Found"}')
        return self.responses.get(f"{method} {path}", unknown)


def _known(items: dict[str, T], name: str, kind: str) -> T:
    if name not in items:
        error = NotFoundError(f"the mock platform has no {kind} {name}")
        error.is_not_found, error.status = True, 404
        raise error
    return items[name]
