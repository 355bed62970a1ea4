"""The worker: `run`, and what it consists of."""

from __future__ import annotations

import logging

from satellite_sdk import _native
from satellite_sdk.errors import SatelliteError

from luml_satellite_sdk import _signals, logs
from luml_satellite_sdk.client import PlatformClient
from luml_satellite_sdk.config import _NAMES, SatelliteSDKSettings
from luml_satellite_sdk.failure import Failure
from luml_satellite_sdk.handlers import _REGISTRY, Bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

logger = logging.getLogger("luml_satellite_sdk")

#: Token rejected, settings wrong: systemd's `RestartPreventExitStatus` can name them.
EXIT_REFUSED_TOKEN = 77
EXIT_SETTINGS = 78


class SatelliteSDK:
    """A worker with its own handlers, for programs that do not want the global ones."""

    def __init__(
        self,
        settings: SatelliteSDKSettings | None = None,
        *,
        handlers: dict[str, Callable[..., Any]] | None = None,
        client_class: type[PlatformClient] | None = None,
        **given: Any,
    ) -> None:
        """`given`: settings by name, as for `SatelliteSDKSettings`, which they override."""
        unknown = given.keys() - _NAMES
        if unknown:
            raise TypeError(f"unknown setting: {', '.join(sorted(unknown))}")
        base = settings._given if settings is not None else {}
        own = {name: value for name, value in given.items() if value is not None}
        self._settings: dict[str, Any] = {**base, **own}
        self._drain = self._settings.get("drain") is not None
        self._client_class = client_class or PlatformClient
        self._clients: dict[type[PlatformClient], PlatformClient] = {}
        registry = _REGISTRY if handlers is None else handlers
        self._handlers = {name: Bound(function) for name, function in registry.items()}
        self._loop: Any = None
        logs.prepare()
        entries = [(name, self._entry(bound)) for name, bound in self._handlers.items()]
        self._worker = _native.Worker(self._settings, entries)
        self._connection = self._worker.connection()

    @property
    def health_address(self) -> str | None:
        """Where `/healthz` and `/readyz` are served."""
        return self._worker.health_address

    @property
    def client(self) -> PlatformClient:
        """The client that handlers receive."""
        return self._client_of(self._client_class)

    def run(self) -> None:
        """Polls until a signal or `stop()`. Raises `SystemExit` at SIGTERM, `KeyboardInterrupt`
        at SIGINT, and `SatelliteError` if the platform rejects the token.
        """
        self._run(until_idle=False)

    def run_until_idle(self) -> None:
        """Runs until there is no task left, for tests."""
        self._run(until_idle=True)

    def stop(self) -> None:
        """Ends `run`, from any thread."""
        self._worker.stop()

    def _run(self, until_idle: bool) -> None:
        global _running
        _running, before = self, _running
        try:
            with _signals.handled(self._worker, self._drain):
                done, failed, undelivered = self._worker.run(until_idle)
            logger.info("stopped: %d done, %d failed, %d undelivered", done, failed, undelivered)
        finally:
            _running = before
            if self._loop is not None:
                self._loop.close()

    def _client_of(self, kind: type[PlatformClient]) -> PlatformClient:
        if kind not in self._clients:
            self._clients[kind] = kind._of(self._connection)
        return self._clients[kind]

    def _entry(self, bound: Bound) -> Callable[[dict[str, Any], _native.WorkerContext], Any]:
        kind = bound.client_class
        if not (isinstance(kind, type) and issubclass(kind, PlatformClient)):
            kind = None
        elif issubclass(self._client_class, kind):
            kind = None

        def enter(task: dict[str, Any], context: _native.WorkerContext) -> Any:
            client = self._client_of(kind or self._client_class)
            task_id = task["id"]
            token = logs.task_id.set(task_id)
            try:
                result = bound.call(task_id, task["payload"], client, context)
                if hasattr(result, "__await__"):
                    result = self._wait_for(result)
                return ("done", _as_json(result), "")
            except Exception as error:
                return _failed(error)
            finally:
                logs.task_id.reset(token)

        return enter

    def _wait_for(self, coroutine: Any) -> Any:
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(_awaited(coroutine))
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            if not task.done():  # interrupted by a signal
                task.cancel()
                self._loop.run_until_complete(asyncio.wait([task], timeout=1))
            raise


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _failed(error: Exception) -> tuple[str, str, str]:
    if isinstance(error, Failure):
        logger.warning("the task failed: %s", error)
        return ("failed", error.reason, error.error)
    logger.exception("the handler failed")
    text = str(error) or type(error).__name__
    if isinstance(error, SatelliteError):
        return ("failed", text, text)
    return ("failed", text, f"{type(error).__name__}: {text}")


def _as_json(result: Any) -> Any:
    """A handler's result, if it is a model or a dataclass, as a dict."""
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json")
    if hasattr(result, "__dataclass_fields__") and not isinstance(result, type):
        import dataclasses

        return dataclasses.asdict(result)
    if hasattr(result, "to_dict"):
        return result.to_dict()
    return result


_running: SatelliteSDK | None = None


def run(
    settings: SatelliteSDKSettings | None = None,
    *,
    client_class: type[PlatformClient] | None = None,
    **given: Any,
) -> None:
    """Runs the handlers of `@handler` until a signal or `stop()`.

    At SIGTERM it raises `SystemExit(0)`, at SIGINT `KeyboardInterrupt`; both also interrupt a
    running handler, whose task then stays `running`. With `drain=SECONDS` the handler may finish.
    If the platform rejects the token it raises `SystemExit(77)`, and if settings are wrong
    `SystemExit(78)`, after an error in the log; `__cause__` is the `SatelliteError`.
    """
    try:
        SatelliteSDK(settings, client_class=client_class, **given).run()
    except SatelliteError as error:
        code = 1
        if error.is_refused_token:
            code = EXIT_REFUSED_TOKEN
        elif error.is_settings:
            code = EXIT_SETTINGS
        for line in str(error).splitlines() if error.is_settings else [str(error)]:
            logger.error("%s", line)
        raise SystemExit(code) from error


def stop() -> None:
    """Ends the running `run`, from a handler or from another thread."""
    if _running is not None:
        _running.stop()


def get_client() -> PlatformClient:
    """The client of the running worker; outside of one, a new client."""
    if _running is not None:
        return _running.client
    return PlatformClient()


def pair(code: str, platform_url: str | None = None) -> str:
    """Exchanges a pairing code for a token. Most platforms do not support that: the error then
    says where the token is created.
    """
    return PlatformClient(platform_url, token="unpaired").pair(code)
