"""The mock platform: a real HTTP server on loopback, with faults that a test injects."""

from __future__ import annotations

from satellite_sdk import _native

from luml_satellite_sdk.client import PlatformClient
from luml_satellite_sdk.models import Task
from luml_satellite_sdk.sdk import SatelliteSDK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class MockPlatform:
    """Behaves like the real platform, including what surprises.

    A fault is `{"status": 503}`, `{"retry_after": {"status": 429, "seconds": 1}}`,
    `{"stall": 1.5}`, `{"slow_answer": 0.5}`, `{"redirect": URL}`, or one of `"reset"`, `"drop"`,
    `"half_body"`, `"not_json"`, `"empty"`, `"done_but_no_answer"`.
    """

    def __init__(self) -> None:
        self._mock = _native.MockPlatform()

    @property
    def url(self) -> str:
        return self._mock.url

    @property
    def token(self) -> str:
        return self._mock.token

    def client(self) -> PlatformClient:
        """A client with this platform's token."""
        return PlatformClient(self.url, self.token)

    def worker(
        self, handlers: dict[str, Callable[..., Any]] | None = None, **settings: Any
    ) -> SatelliteSDK:
        """A worker that polls quickly and has no health server. Without `handlers`, it has those
        of `@handler`.
        """
        given: dict[str, Any] = {
            "platform_url": self.url,
            "satellite_token": self.token,
            "poll_interval_sec": 0.01,
            "health_enabled": False,
        }
        return SatelliteSDK(handlers=handlers, **{**given, **settings})

    def add_task(self, task: Task | dict[str, Any]) -> str:
        """Adds a task, and returns its id."""
        fields = task.to_dict() if isinstance(task, Task) else task
        return self._mock.add_task({k: v for k, v in fields.items() if v is not None})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mock, name)

    def __repr__(self) -> str:
        return f"MockPlatform({self.url!r})"
