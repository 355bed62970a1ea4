"""The class that users derive."""

from __future__ import annotations

from abc import ABC, abstractmethod

from satellite_sdk.dory.decorators import get_stateful_vars, set_stateful_vars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from satellite_sdk.dory.context import ExecutionContext


class BaseProcessor(ABC):
    """A processor. Only `run` is required."""

    context: ExecutionContext

    #: Keys of the restored state that this class does not have: they stay in the stored state.
    _unknown_state: dict[str, Any] | None = None

    def __init__(self, context: ExecutionContext | None = None) -> None:
        if context is not None:
            self.context = context

    @abstractmethod
    async def run(self) -> None:
        """The work. It should return when the shutdown is requested."""

    async def startup(self) -> None:
        """Opens what `run` needs."""

    async def shutdown(self) -> None:
        """Closes it."""

    def get_state(self) -> dict[str, Any]:
        """The state as JSON; by default the attributes of `stateful`."""
        return {**(self._unknown_state or {}), **get_stateful_vars(self)}

    async def restore_state(self, state: dict[str, Any]) -> None:
        """Takes a stored state; by default into the attributes of `stateful`."""
        set_stateful_vars(self, state)
        known = get_stateful_vars(self)
        self._unknown_state = {name: v for name, v in state.items() if name not in known}

    def run_loop(self, interval: float = 1.0, check_migration: bool = True) -> AsyncIterator[int]:
        """Yields 0, 1, 2, … every `interval` seconds, until the shutdown."""
        return self.context.run_loop(interval, check_migration)

    def is_shutting_down(self) -> bool:
        """Whether the shutdown is requested."""
        return self.context.is_shutdown_requested()

    async def on_state_restore_failed(self, error: Exception) -> bool:
        """Called if the stored state cannot be used. True: start with the default state, and move
        the stored one aside. By default the processor ends, and the state stays as it is.
        """
        return False

    async def on_rapid_restart_detected(self, restart_count: int) -> bool:
        """Called if the last starts ended uncleanly. False: start with the default state."""
        return True

    async def on_health_check_failed(self, error: Exception) -> bool:
        """Called if a turn lasts too long."""
        return False

    def reset_caches(self) -> None:
        """Called when the default state replaces the stored one."""
