"""The settings of a worker."""

from __future__ import annotations

from satellite_sdk import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMES = frozenset(
    """satellite_token platform_url poll_interval_sec max_backoff_sec supported_task_types
    health_host health_port health_enabled base_url ca_file state_dir allow_plain_http
    capabilities slug drain on_orphan""".split()
)


class SatelliteSDKSettings:
    """All settings. Those that are not given come from the environment, with prefix `LUML_`.

    Raises `SettingsError`, which names every wrong setting.
    """

    satellite_token: str
    platform_url: str
    poll_interval_sec: float
    max_backoff_sec: float
    supported_task_types: list[str]
    health_port: int | None
    health_host: str | None
    health_enabled: bool
    base_url: str | None
    #: A folder for the journal: with it, no result is lost when the worker is killed.
    state_dir: str | None
    #: A PEM file of certificate authorities.
    ca_file: str | None

    def __init__(
        self,
        *,
        satellite_token: str | None = None,
        platform_url: str | None = None,
        poll_interval_sec: float | None = None,
        max_backoff_sec: float | None = None,
        supported_task_types: list[str] | None = None,
        health_host: str | None = None,
        health_port: int | None = None,
        health_enabled: bool | None = None,
        base_url: str | None = None,
        ca_file: str | None = None,
        state_dir: str | None = None,
        allow_plain_http: bool | None = None,
        capabilities: dict[str, Any] | None = None,
        slug: str | None = None,
        drain: float | None = None,
        on_orphan: str | None = None,
    ) -> None:
        """`capabilities`: for the registration, by name. `drain`: seconds that a running task
        has to finish after a signal; without it, it is interrupted. `on_orphan`: what to do with
        tasks of a process that was killed: `leave`, `fail` or `rerun`.
        """
        given = dict(locals())
        self._given: dict[str, Any] = {
            name: given[name] for name in _NAMES if given[name] is not None
        }
        self.__dict__.update(_native.read_settings(self._given))

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}={'***' if name == 'satellite_token' else repr(value)}"
            for name, value in self.__dict__.items()
            if name[0] != "_"
        )
        return f"SatelliteSDKSettings({fields})"
