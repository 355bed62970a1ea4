"""my-app: an example to replace. Needs nothing but Python.

It keeps its state in the folder STATE_DIR. The sidecar saves that folder when this program
has ended, and with --snapshot-every also while it runs, and restores it before this program
starts, also in another pod.
"""

import json
import os
import pathlib
import signal
import time

STATE = pathlib.Path(os.environ.get("STATE_DIR", "state")) / "state.json"
is_stopping = False


def stop(*_):
    """Only sets a flag: an Event would deadlock if the signal interrupts its own wait()."""
    global is_stopping
    is_stopping = True


def load():
    try:
        return json.loads(STATE.read_text())
    except FileNotFoundError:
        return {"count": 0}


def save(state):
    """Replaces the file by a rename: nobody ever reads half of it."""
    STATE.parent.mkdir(parents=True, exist_ok=True)
    new = STATE.with_suffix(".new")
    new.write_text(json.dumps(state))
    os.replace(new, STATE)


def main():
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    state = load()
    while not is_stopping:
        state["count"] += 1
        print("count", state["count"], flush=True)
        save(state)
        time.sleep(1)


if __name__ == "__main__":
    main()
