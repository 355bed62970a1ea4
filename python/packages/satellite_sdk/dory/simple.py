"""Processors as functions.

from satellite_sdk.dory.simple import processor, state

counter = state(0)

@processor
async def main(ctx):
    async for _ in ctx.run_loop(interval=1):
        counter.value += 1
"""

from __future__ import annotations

import sys

from satellite_sdk.dory.app import DoryApp
from satellite_sdk.dory.processor import BaseProcessor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any, Generic, TypeVar

    from satellite_sdk.dory.context import ExecutionContext

    T = TypeVar("T")
else:
    from satellite_sdk._calls import Generic

    T = None


class StateVar(Generic[T]):
    """A variable of the state. `state` creates it."""

    def __init__(self, default: T | Callable[[], T]) -> None:
        self._default = default
        self._is_set = False
        self._value: Any = None

    @property
    def value(self) -> T:
        if not self._is_set:
            default: Any = self._default
            first: Any = default() if callable(default) else default
            self.set(first)
        value: T = self._value
        return value

    @value.setter
    def value(self, value: T) -> None:
        self._value = value
        self._is_set = True

    def get(self) -> T:
        return self.value

    def set(self, value: T) -> None:
        self.value = value

    def reset(self) -> None:
        """Back to the default."""
        self._is_set = False


def state(default: T | Callable[[], T] = None) -> StateVar[T]:  # type: ignore[assignment]
    """A variable that is saved and restored. `default`: a value, or a factory such as `dict`."""
    return StateVar(default)


class ContextWrapper:
    """The context, with the stop as properties."""

    def __init__(self, context: ExecutionContext) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def run_loop(self, interval: float = 1.0, check_migration: bool = True) -> AsyncIterator[int]:
        return self._context.run_loop(interval, check_migration)

    @property
    def shutdown_requested(self) -> bool:
        return self._context.is_shutdown_requested()

    @property
    def migration_imminent(self) -> bool:
        return self._context.is_migration_imminent()


def _class_of(
    function: Callable[[ContextWrapper], Awaitable[None]], variables: dict[str, StateVar[Any]]
) -> type[BaseProcessor]:
    class FunctionProcessor(BaseProcessor):
        async def run(self) -> None:
            await function(ContextWrapper(self.context))

        def get_state(self) -> dict[str, Any]:
            unknown = self._unknown_state or {}
            return {**unknown, **{name: one.value for name, one in variables.items()}}

        async def restore_state(self, state: dict[str, Any]) -> None:
            self._unknown_state = {}
            for name, value in state.items():
                if name in variables:
                    variables[name].value = value
                else:
                    self._unknown_state[name] = value

        def reset_caches(self) -> None:
            for variable in variables.values():
                variable.reset()

    return FunctionProcessor


def _variables(module: dict[str, Any]) -> dict[str, StateVar[Any]]:
    return {name: value for name, value in module.items() if isinstance(value, StateVar)}


def processor(
    func: Callable[[ContextWrapper], Awaitable[None]] | None = None,
    *,
    config_file: str | None = None,
    log_level: str | None = None,
) -> Any:
    """Makes an async function a processor, and runs it if its module is the program. The state
    are the variables of `state` that its module has at this point.
    """

    def decorate(
        function: Callable[[ContextWrapper], Awaitable[None]],
    ) -> Callable[[ContextWrapper], Awaitable[None]]:
        module = sys.modules.get(function.__module__)
        names = getattr(function, "__globals__", None) or vars(module)
        if names.get("__name__") == "__main__":
            app = DoryApp(config_file=config_file, log_level=log_level)
            app.run(_class_of(function, _variables(names)))
        return function

    return decorate if func is None else decorate(func)


def run_processor(
    func: Callable[[ContextWrapper], Awaitable[None]],
    *,
    config_file: str | None = None,
    log_level: str | None = None,
) -> None:
    """Runs a function as a processor."""
    app = DoryApp(config_file=config_file, log_level=log_level)
    app.run(_class_of(func, _variables(getattr(func, "__globals__", {}))))
