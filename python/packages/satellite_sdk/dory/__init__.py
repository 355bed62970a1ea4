"""Processors: programs whose state survives restarts and moves with them.

    from satellite_sdk.dory import BaseProcessor, DoryApp, stateful

    class MyApp(BaseProcessor):
        counter = stateful(0)

        async def run(self):
            async for _ in self.run_loop(interval=1):
                self.counter += 1

    if __name__ == "__main__":
        DoryApp().run(MyApp)

A program written for dory-sdk runs with its import changed: `from dory import …` becomes
`from satellite_sdk.dory import …`. The README lists what differs.
"""

from satellite_sdk.dory.app import DoryApp
from satellite_sdk.dory.context import ExecutionContext
from satellite_sdk.dory.decorators import StatefulVar, stateful
from satellite_sdk.dory.errors import (
    DoryConfigError,
    DoryError,
    DoryShutdownError,
    DoryStartupError,
    DoryStateError,
)
from satellite_sdk.dory.processor import BaseProcessor

__all__ = [
    "BaseProcessor",
    "DoryApp",
    "DoryConfigError",
    "DoryError",
    "DoryShutdownError",
    "DoryStartupError",
    "DoryStateError",
    "ExecutionContext",
    "StatefulVar",
    "stateful",
]
