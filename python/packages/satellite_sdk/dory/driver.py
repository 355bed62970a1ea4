"""Runs the user's coroutines on one event loop, in the order of the core.

The core has the state as JSON. The driver gives it what `get_state()` returns: between two steps of
the event loop, so never in the middle of a change, whenever the state is to be saved.
"""

from __future__ import annotations

import asyncio
import logging
import os

from satellite_sdk.dory.context import ExecutionContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from satellite_sdk import _native
    from satellite_sdk.dory.processor import BaseProcessor

logger = logging.getLogger("satellite_sdk.dory")

#: The name of the reason for which the process is not ready.
PROBLEM = "state"


class Driver:
    """The core calls its methods: all on the main thread, but `refresh`, the health hook and
    `_wake` on others.
    """

    def __init__(self, processor_class: type[BaseProcessor]) -> None:
        self._class = processor_class
        self._loop = asyncio.new_event_loop()
        self._processor: BaseProcessor | None = None
        self._native: Any = None
        self._has_problem = False
        self._restored: dict[str, Any] | None = None
        try:
            self._interval = min(1.0, float(os.environ.get("DORY_CHECKPOINT_SEC", "5")) / 2)
        except ValueError:
            self._interval = 1.0  # the core reports it

    def close(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._wait(asyncio.wait(tasks, timeout=1))
        self._wait(self._loop.shutdown_asyncgens())
        self._loop.close()

    # Called by the core

    def startup(self, native: _native.ProcessorContext) -> None:
        processor = self._made(native)
        self._wait(processor.startup())

    def restored(self, native: _native.ProcessorContext) -> None:
        processor = self._made(native)
        state = native.take_replaced()
        if not state:
            return
        try:
            self._wait(processor.restore_state(state))
        except Exception as error:
            logger.error("restore_state failed", exc_info=error)
            if not self._wait(processor.on_state_restore_failed(error)):
                # The last save would write the processor's own, default state.
                self._processor = None
                raise
            aside = native.move_aside()
            logger.warning("starting with the default state; the stored one is at %s", aside)
            processor.reset_caches()

    def run(self, native: _native.ProcessorContext) -> None:
        self._wait(self._run(native))

    def shutdown(self, native: _native.ProcessorContext) -> None:
        if self._processor is None:
            return
        try:
            self._wait(self._processor.shutdown())
        finally:
            self._give(last=True)

    def on_state_restore_failed(self, native: _native.ProcessorContext, error: Exception) -> bool:
        return bool(self._wait(self._made(native).on_state_restore_failed(error)))

    def on_rapid_restart_detected(self, native: _native.ProcessorContext, count: int) -> bool:
        return not self._wait(self._made(native).on_rapid_restart_detected(count))

    def on_health_check_failed(self, native: _native.ProcessorContext, error: Exception) -> None:
        if self._processor is not None:
            # On a loop of its own: that of the processor is what does not move.
            asyncio.run(self._processor.on_health_check_failed(error))

    def reset_caches(self, native: _native.ProcessorContext) -> None:
        self._made(native).reset_caches()

    def refresh(self, done: Callable[[], None]) -> None:
        def give() -> None:
            self._give()
            done()

        if self._loop.is_running():
            self._loop.call_soon_threadsafe(give)
        else:
            done()

    # The rest

    def _made(self, native: _native.ProcessorContext) -> BaseProcessor:
        self._native = native
        if self._processor is None:
            # In a coroutine, as the constructor may use the loop.
            made: BaseProcessor = self._wait(self._make(native))
            self._processor = made
        return self._processor

    async def _make(self, native: _native.ProcessorContext) -> BaseProcessor:
        context = ExecutionContext(native)
        try:
            processor = self._class(context)
        except TypeError:
            if len(_parameters(self._class)) != 1:
                raise
            processor = self._class()  # an __init__ without the context
        processor.context = context
        native.on_stop(self._wake)
        return processor

    def _wake(self) -> None:
        def tell() -> None:
            if self._processor is not None:
                self._processor.context.migration_imminent.set()
                self._processor.context.shutdown_requested.set()

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            pass  # the loop is closed

    async def _run(self, native: _native.ProcessorContext) -> None:
        processor = self._processor
        assert processor is not None
        self._give()
        giving = asyncio.ensure_future(self._keep_giving(processor))
        work = asyncio.ensure_future(processor.run())
        stop = asyncio.ensure_future(processor.context.shutdown_requested.wait())
        try:
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                # Half of the time that is left is for run, the rest for shutdown and the save.
                await asyncio.wait([work], timeout=(native.seconds_left() or 0) / 2)
            if not work.done():
                logger.warning("run did not return after the stop request: it is cancelled")
                work.cancel()
                await asyncio.wait([work], timeout=(native.seconds_left() or 0) / 2)
            if work.done() and not work.cancelled():
                work.result()
        finally:
            giving.cancel()
            stop.cancel()

    async def _keep_giving(self, processor: BaseProcessor) -> None:
        """Gives the state twice as often as it is saved, and takes one that replaced it."""
        while True:
            await asyncio.sleep(self._interval)
            state = self._native.take_replaced()
            if state is not None:
                try:
                    await processor.restore_state(state)
                    logger.info("the state was replaced")
                except Exception as error:
                    logger.error("restore_state failed; the state is unchanged", exc_info=error)
            self._give()

    def _give(self, last: bool = False) -> None:
        if self._processor is None:
            return
        try:
            if not self._native.give_state(self._processor.get_state()) and last:
                logger.warning("the state was replaced during the shutdown; that one is kept")
        except Exception as error:
            if last:
                raise
            if not self._has_problem:
                logger.error("the state cannot be saved: %s", error)
            self._has_problem = True
            self._native.set_problem(PROBLEM, f"it cannot be saved: {error}")
        else:
            if self._has_problem:
                self._has_problem = False
                self._native.set_problem(PROBLEM, None)

    def _wait(self, coroutine: Coroutine[Any, Any, Any] | Any) -> Any:
        if not hasattr(coroutine, "__await__"):
            return coroutine  # a hook that is not async
        return self._loop.run_until_complete(coroutine)


def _parameters(kind: type) -> tuple[str, ...]:
    code = getattr(getattr(kind, "__init__", None), "__code__", None)
    return code.co_varnames[: code.co_argcount] if code is not None else ()
