"""The minimal processor of the specification. The argument is the package."""

import sys

if sys.argv[1] == "dory":
    from dory import BaseProcessor, DoryApp, stateful
else:
    from satellite_sdk.dory import BaseProcessor, DoryApp, stateful


class MyApp(BaseProcessor):
    counter = stateful(0)

    async def run(self):
        async for _ in self.run_loop(interval=1):
            self.counter += 1


DoryApp().run(MyApp)
