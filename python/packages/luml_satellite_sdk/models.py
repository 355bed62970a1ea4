"""The platform's data."""

from __future__ import annotations

from satellite_sdk._models import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class Task(Model):
    """A task of the platform."""

    id: str
    type: str
    payload: Any
    #: `pending`, `running`, `done`, `failed`, or a newer word.
    status: str
    created_at: str


class Deployment(Model):
    """A deployment. Optional fields that the platform did not send are `None` or empty."""

    id: str
    name: str
    status: str
    artifact_id: str
    artifact_name: str
    inference_url: str | None
    satellite_parameters: dict[str, Any]
    #: Names of variables and ids of their secrets.
    dynamic_attributes_secrets: dict[str, str]
    env_variables_secrets: dict[str, str]
    env_variables: dict[str, str]
    schemas: Any
    error_message: Any
    tags: list[str] | None


class OrbitSecret(Model):
    """A secret. `repr` does not show its value."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"value"})

    id: str
    name: str
    value: str
    tags: list[str] | None


class Artifact(Model):
    """A model artifact, and a presigned URL that works for some hours."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"url"})

    artifact: dict[str, Any]
    url: str


class Satellite(Model):
    """This satellite, as the platform knows it."""

    id: str
    orbit_id: str
    name: str | None
    paired: bool
    status: str
