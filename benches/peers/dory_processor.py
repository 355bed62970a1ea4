"""The same processor on the Python reference: counts and prints each count; with
CHECKPOINTS it saves a state of BYTES bytes that many times."""

import os
import time
from types import SimpleNamespace

from dory import BaseProcessor, DoryApp, stateful
from dory.migration.state_manager import StateManager


class Processor(BaseProcessor):
    count = stateful(0)
    filling = stateful("")

    async def run(self):
        print("restored", self.count, flush=True)
        size = int(os.environ.get("BYTES", 0))
        rounds = int(os.environ.get("CHECKPOINTS", 0))
        if rounds:
            folder = os.environ["DORY_STATE_PVC_MOUNT"]
            manager = StateManager("pvc", SimpleNamespace(state_pvc_mount=folder))
            for _ in range(rounds):
                self.count += 1
                self.filling = "x" * size
                begun = time.perf_counter()
                await manager.save_state(self.context.processor_id, self.get_state())
                micros = (time.perf_counter() - begun) * 1e6
                print(f"saved in {micros:.0f} us", flush=True)
        interval = int(os.environ.get("INTERVAL_MS", 50)) / 1000
        async for _ in self.run_loop(interval=interval):
            self.count += 1
            print("count", self.count, flush=True)


if __name__ == "__main__":
    DoryApp().run(Processor)
