"""Runs a processor."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from satellite_sdk import _native
from satellite_sdk._logs import sync_level
from satellite_sdk.dory.driver import Driver
from satellite_sdk.errors import SatelliteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from satellite_sdk.dory.processor import BaseProcessor

logger = logging.getLogger("satellite_sdk.dory")


class DoryApp:
    """Runs a processor until a signal, the preStop hook, or the end of its `run`."""

    def __init__(self, config_file: str | None = None, log_level: str | None = None) -> None:
        """`config_file`: in place of `DORY_CONFIG_FILE`. `log_level`: in place of
        `DORY_LOG_LEVEL`.
        """
        self._config_file = config_file
        self._log_level = log_level

    def run(self, processor_class: type[BaseProcessor]) -> None:
        """Returns after a clean end. Otherwise it raises `SystemExit`: 78 for wrong settings, 1
        for an error of the processor or a state that could not be saved.
        """
        if self._config_file is not None:
            os.environ["DORY_CONFIG_FILE"] = self._config_file
        if self._log_level is not None:
            os.environ["DORY_LOG_LEVEL"] = self._log_level
        set_up_logging()
        if threading.current_thread() is threading.main_thread():
            # The core stops the processor; Python must not raise KeyboardInterrupt as well.
            signal.signal(signal.SIGINT, _ignore)
        driver = Driver(processor_class)
        try:
            _native.run_processor(driver)
        except SatelliteError as error:
            for line in str(error).splitlines():
                logger.error("%s", line)
            raise SystemExit(78 if error.is_settings else 1) from error
        finally:
            driver.close()


def _ignore(number: int, frame: FrameType | None) -> None:
    """The core handles the signal."""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        import json

        fields = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up_logging() -> None:
    """As `DORY_LOG_LEVEL` and `DORY_LOG_FORMAT` say, unless the program has configured it."""
    root = logging.getLogger()
    if not root.handlers:
        in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ
        kind = os.environ.get("DORY_LOG_FORMAT", "json" if in_cluster else "text").strip().lower()
        handler = logging.StreamHandler(sys.stderr)
        text = "%(asctime)s %(levelname)-5s %(name)s %(message)s"
        handler.setFormatter(_Json() if kind == "json" else logging.Formatter(text))
        root.addHandler(handler)
        level = os.environ.get("DORY_LOG_LEVEL", "INFO").strip().upper()
        # A wrong level is an error of the settings, which the core reports.
        root.setLevel(level if isinstance(logging.getLevelName(level), int) else "INFO")
    sync_level("satellite_sdk.dory", "satellite_sdk")
