"""What a processor knows about where it runs."""

from __future__ import annotations

import asyncio
import logging
import os

from satellite_sdk import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any


class ExecutionContext:
    """The pod, the configuration and the shutdown of a processor."""

    #: Set when the shutdown begins.
    shutdown_requested: asyncio.Event
    #: Set when the pod is about to move.
    migration_imminent: asyncio.Event

    def __init__(self, native: _native.ProcessorContext) -> None:
        self._native = native
        self._config = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DORY_", "KUBERNETES_"))
        }
        self.shutdown_requested = asyncio.Event()
        self.migration_imminent = asyncio.Event()

    @property
    def pod_name(self) -> str:
        return self._native.pod_name

    @property
    def pod_namespace(self) -> str:
        return self._native.pod_namespace

    @property
    def processor_id(self) -> str:
        return self._native.processor_id

    @property
    def attempt_number(self) -> int:
        """Consecutive starts that ended uncleanly."""
        return self._native.attempt_number

    @property
    def is_migrating(self) -> bool:
        return self._native.is_migrating

    @property
    def previous_pod_name(self) -> str | None:
        return self._native.migrated_from

    def is_shutdown_requested(self) -> bool:
        """Whether `run` should return."""
        return self._native.is_shutdown_requested()

    def is_migration_imminent(self) -> bool:
        """Whether the pod is about to move: finish the batch."""
        return self._native.is_migration_imminent()

    def may_act(self) -> bool:
        """False while another process may have taken over the state."""
        return self._native.may_act()

    def request_shutdown(self) -> None:
        """Begins the shutdown."""
        self._native.stop()

    def config(self) -> dict[str, Any]:
        """The environment variables of the application: all but `DORY_*`."""
        return self._config

    def get_env(self, key: str, default: str | None = None) -> str | None:
        """An environment variable."""
        return os.environ.get(key, default)

    def logger(self) -> logging.Logger:
        """The processor's logger."""
        return logging.getLogger(f"dory.processor.{self.processor_id}")

    async def run_loop(
        self, interval: float = 1.0, check_migration: bool = True
    ) -> AsyncIterator[int]:
        """Yields 0, 1, 2, … until the shutdown. A shutdown ends the wait between two turns."""
        turn = 0
        try:
            while await self._next_turn():
                yield turn
                turn += 1
                self._native.end_turn()
                if check_migration and self.is_migration_imminent():
                    self.logger().info("migration imminent, completing iteration %d", turn)
                try:
                    await asyncio.wait_for(self.shutdown_requested.wait(), interval)
                except asyncio.TimeoutError:
                    pass
        finally:
            self._native.end_turn()

    async def _next_turn(self) -> bool:
        """Waits while another process may have the state. False at the shutdown."""
        while not self.is_shutdown_requested():
            if self._native.may_act():
                self._native.begin_turn()
                return True
            await asyncio.sleep(0.05)
        return False

    def __repr__(self) -> str:
        return f"ExecutionContext({self.processor_id!r})"
