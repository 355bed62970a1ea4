"""SIGTERM and SIGINT of a worker."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from satellite_sdk import _native


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _note(number: int, frame: FrameType | None) -> None:
    """The native module has been told through the file descriptor."""


@contextmanager
def handled(worker: _native.Worker, drain: bool) -> Iterator[None]:
    """Ends the worker at a signal. Handlers that the program has installed are kept."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        present = signal.getsignal(number)
        if drain:
            before[number] = signal.signal(number, _note)
        elif number == signal.SIGTERM and present == signal.SIG_DFL:
            before[number] = signal.signal(number, _terminate)
    old_fd = signal.set_wakeup_fd(worker.wakeup_fd(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
