"""Processors: the styles of the specification, and what happens to their state."""

import hashlib
import json
import re
import signal
import urllib.error
import urllib.request

import pytest
import spec
from conftest import wait_until


class Pod:
    """A processor in a process of its own, with its endpoints."""

    def __init__(self, program, text, env):
        self.program = program(text.replace("from dory", "from satellite_sdk.dory"), env=env)
        found = wait_until(
            lambda: re.search(r"endpoints: (http://\S+)\n", self.program.errors.read_text())
        )
        self.url = found[1]

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(self.url + path, data, timeout=30) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def state(self):
        status, text = self.ask("/state")
        return json.loads(text)["data"] if status == 200 else None

    def until(self, condition):
        return wait_until(lambda: (state := self.state()) is not None and condition(state))

    def ready(self):
        wait_until(lambda: self.ask("/ready")[0] == 200)

    def stop(self, number=signal.SIGTERM):
        self.program.signal(number)
        return self.end()

    def end(self):
        return self.program.end()


@pytest.fixture
def pod(program, tmp_path):
    env = {
        "DORY_HEALTH_PORT": "0",
        "DORY_PROCESSOR_ID": "my-app",
        "DORY_CHECKPOINT_SEC": "0.2",
        "DORY_STATE_DIR": str(tmp_path / "state"),
        "DORY_STATE_BACKEND": "local",
    }

    def start(text, **more):
        return Pod(program, text, {**env, **more})

    return start


@pytest.mark.parametrize(
    "text",
    [
        spec.DORY_A,
        spec.DORY_B,
        "import asyncio\n" + spec.DORY_C,
        spec.DORY_FUNCTION,
        spec.DORY_BEFORE,
    ],
    ids=["A", "B", "C", "function", "before"],
)
def test_each_style_of_the_spec_continues_after_a_restart(pod, text):
    fast = text.replace("interval=1", "interval=0.02").replace("sleep(1)", "sleep(0.02)")
    first = pod(fast)
    count = first.until(lambda state: state.get("counter", 0) >= 3) and first.state()["counter"]
    code, _, log = first.stop()
    assert code == 0, log
    second = pod(fast)
    second.until(lambda state: state.get("counter", 0) > count)
    assert "restored generation" in second.stop()[2]


def test_the_context_of_the_spec(pod):
    text = "from dory import DoryApp, BaseProcessor\nimport asyncio\n"
    text += "async def process(): await asyncio.sleep(0.01)\nclass MyApp(BaseProcessor):"
    text += spec.DORY_CONTEXT.replace("\n", "\n    ")
    text += "\nDoryApp().run(MyApp)\n"
    one = pod(text, DORY_POD_NAME="my-app-1", DORY_POD_NAMESPACE="here", MODEL_PATH="/m")
    one.ready()
    code, out, log = one.stop()
    assert code == 0, log
    assert out.splitlines()[:3] == ["Pod: my-app-1", "Namespace: here", "Processor ID: my-app"]
    assert "Processing..." in log


HEAD = "import asyncio, time\nfrom dory import *\n"
COUNTER = (
    HEAD
    + """
class MyApp(BaseProcessor):
    counter = stateful(0)
    data = stateful(dict)
    {more}
    async def run(self):
        async for i in self.run_loop(interval={interval}):
            self.counter += 1
DoryApp().run(MyApp)
"""
)


def counter(interval=0.02, more="pass"):
    return COUNTER.format(interval=interval, more=more)


def test_a_killed_process_loses_only_what_it_changed_since_the_last_save(pod):
    first = pod(counter())
    first.until(lambda state: state.get("counter", 0) >= 50)
    first.program.process.kill()
    first.end()
    second = pod(counter())
    second.until(lambda state: state.get("counter", 0) > 10)


def test_a_stop_ends_a_long_wait_between_two_turns(pod):
    one = pod(counter(interval=3600))
    one.until(lambda state: state.get("counter") == 1)
    assert one.stop()[0] == 0


def test_a_run_that_ignores_the_stop_is_cancelled_and_its_state_is_saved(pod):
    text = (
        HEAD
        + """
class MyApp(BaseProcessor):
    counter = stateful(0)
    async def run(self):
        self.counter = 7
        await asyncio.sleep(3600)
DoryApp().run(MyApp)
"""
    )
    one = pod(text, DORY_SHUTDOWN_TIMEOUT_SEC="4")
    one.until(lambda state: state.get("counter") == 7)
    code, _, log = one.stop()
    assert code == 0 and "it is cancelled" in log
    assert pod(counter(interval=3600)).until(lambda state: state.get("counter", 0) == 8)


def test_ctrl_c_is_a_stop_like_any_other(pod):
    one = pod(counter())
    one.until(lambda state: state.get("counter", 0) > 1)
    code, _, log = one.stop(signal.SIGINT)
    assert code == 0 and "Traceback" not in log


def test_a_state_can_be_read_and_replaced(pod):
    one = pod(counter(interval=3600))
    one.until(lambda state: state.get("counter") == 1)
    assert one.ask("/state", {"data": {"counter": 40, "data": {"k": [1]}}})[0] == 200
    one.until(lambda state: state == {"counter": 40, "data": {"k": [1]}})
    code, _, log = one.stop()
    assert code == 0, log
    two = pod(counter(interval=3600))
    two.until(lambda state: state == {"counter": 41, "data": {"k": [1]}})


def test_the_prestop_hook_saves_and_ends(pod):
    one = pod(counter())
    one.until(lambda state: state.get("counter", 0) > 5)
    assert one.ask("/prestop")[0] == 200
    assert one.end()[0] == 0
    assert pod(counter()).until(lambda state: state.get("counter", 0) > 5)


def test_keys_that_this_release_does_not_know_stay(pod):
    newer = counter(interval=3600, more="colour = stateful('red')")
    one = pod(newer)
    one.until(lambda state: state.get("colour") == "red")
    one.stop()
    two = pod(counter(interval=3600))
    two.until(lambda state: state.get("counter", 0) == 2 and state.get("colour") == "red")
    two.stop()
    assert pod(newer).until(lambda state: state.get("counter", 0) == 3)


def test_the_state_of_the_original_is_taken_over(pod, tmp_path):
    payload = {"counter": 41, "data": {"é": 1}}
    checksum = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    metadata = {
        "timestamp": 1.0,
        "timestamp_iso": "2026-01-01T00:00:00Z",
        "processor_id": "my-app",
        "pod_name": "my-app-0",
        "restart_count": 1,
    }
    (tmp_path / "state").mkdir()
    original = {"payload": payload, "metadata": metadata, "checksum": checksum}
    (tmp_path / "state" / "dory-state-my-app.json").write_text(json.dumps(original))
    one = pod(counter(interval=3600))
    one.until(lambda state: state == {"counter": 42, "data": {"é": 1}})


def damage(folder):
    """Damages every generation of the state."""
    for path in folder.rglob("*"):
        if path.is_file() and b"{" in (content := path.read_bytes()):
            path.write_bytes(content[:-3])


def test_a_damaged_state_ends_the_process_and_is_kept(pod, tmp_path):
    one = pod(counter(interval=3600))
    one.until(lambda state: state.get("counter") == 1)
    one.stop()
    damage(tmp_path / "state")
    code, _, log = pod(counter(interval=3600)).end()
    assert code == 1 and "left unchanged" in log
    hook = "async def on_state_restore_failed(self, error): print('hook'); return True"
    two = pod(counter(interval=3600, more=hook))
    two.until(lambda state: state.get("counter") == 1)
    assert two.stop()[1] == "hook\n"


def test_a_restore_state_that_fails_leaves_the_state_or_starts_fresh(pod):
    one = pod(counter(interval=3600))
    one.until(lambda state: state.get("counter") == 1)
    one.stop()
    broken = "async def restore_state(self, state): raise KeyError('x')"
    code, _, log = pod(counter(interval=3600, more=broken)).end()
    assert code == 1 and "restore_state failed" in log
    two = pod(counter(interval=3600))
    two.until(lambda state: state.get("counter", 0) == 2)
    two.stop()
    hook = broken + "\n    async def on_state_restore_failed(self, error): return True"
    three = pod(counter(interval=3600, more=hook))
    three.until(lambda state: state.get("counter", 0) == 1)
    code, _, log = three.stop()
    assert code == 0 and "the stored one is at" in log


def test_a_state_that_is_not_json_makes_the_process_unready_and_its_end_an_error(pod):
    text = (
        HEAD
        + """
class MyApp(BaseProcessor):
    seen = stateful(set)
    async def run(self):
        async for i in self.run_loop(interval=0.02):
            pass
DoryApp().run(MyApp)
"""
    )
    one = pod(text)
    wait_until(lambda: "seen: set is not JSON" in one.ask("/ready")[1])
    code, _, log = one.stop()
    assert code == 1 and "seen: set is not JSON" in log


def test_an_error_of_run_is_reported_and_the_state_is_saved(pod):
    text = counter(
        more="""
    async def run(self):
        self.counter += 1
        raise RuntimeError('broken')
    async def other(self): pass
    """
    )
    text = text.replace("run(self):\n        async for", "unused(self):\n        async for")
    code, _, log = pod(text).end()
    assert code == 1 and "RuntimeError: broken" in log
    two = pod(counter(interval=3600))
    two.until(lambda state: state.get("counter", 0) == 2)


def test_rapid_restarts_call_the_hook(pod):
    more = "async def on_rapid_restart_detected(self, count): print('hook', count); return False"
    text = counter(interval=3600, more=more)
    for _ in range(3):
        one = pod(text)
        one.until(lambda state: state.get("counter", 0) >= 1)
        one.program.process.kill()
        one.end()
    last = pod(text)
    last.until(lambda state: state.get("counter") == 1)
    assert last.stop()[1] == "hook 3\n"


def test_a_blocking_run_does_not_delay_probes(pod):
    text = (
        HEAD
        + """
class MyApp(BaseProcessor):
    async def run(self):
        time.sleep(3600)
DoryApp().run(MyApp)
"""
    )
    one = pod(text, DORY_SHUTDOWN_TIMEOUT_SEC="1")
    one.ready()
    assert one.ask("/healthz")[0] == 200
    assert "dory_restart_count" in one.ask("/metrics")[1]


def test_wrong_settings_end_with_78(program):
    text = "from satellite_sdk.dory import *\nclass A(BaseProcessor):\n async def run(self): pass\n"
    one = program(text + "DoryApp().run(A)", env={"DORY_CHECKPOINT_SEC": "soon"})
    code, _, errors = one.end()
    assert code == 78 and "DORY_CHECKPOINT_SEC" in errors
