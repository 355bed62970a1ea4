"""Signals: prompt in every kind of wait."""

import re
import signal

import pytest
from luml_satellite_sdk.testing import mock_task

WORKER = """
    import sys, time, logging
    from luml_satellite_sdk import handler, run
    @handler("work")
    def work(task_id, payload, client):
        print("working", flush=True)
        {body}
    print("started", flush=True)
    try:
        run({options})
    except BaseException as e:
        print("ended by", type(e).__name__, flush=True)
        raise
    finally:
        print("finally", flush=True)
"""


def started(program, worker_env, body="pass", options=""):
    one = program(WORKER.format(body=body, options=options), env=worker_env)
    assert one.line() == "started"
    return one


@pytest.mark.parametrize(
    ("number", "code", "kind"),
    [(signal.SIGTERM, 0, "SystemExit"), (signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt")],
)
def test_an_idle_worker_ends_at_once(program, platform, worker_env, number, code, kind):
    # Only a signal can end this wait in time.
    env = {**worker_env, "LUML_POLL_INTERVAL_SEC": "3600"}
    platform.add_task(mock_task("t-0", "work", {}))
    one = started(program, env)
    assert one.line() == "working"
    assert platform.wait_for("t-0", "done", 60)
    one.signal(number)
    ended, out, _ = one.end()
    assert ended == code
    assert out.split("\n")[:2] == [f"ended by {kind}", "finally"]


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(3600)",
        "client.get('/satellites/v1/artifacts/x', timeout=3600)",
        "import asyncio; asyncio.run(asyncio.sleep(3600))",
        "exec('while True: pass')",
    ],
    ids=["sleep", "request", "asyncio", "busy"],
)
def test_a_running_handler_is_interrupted_and_its_task_stays_running(
    program, platform, worker_env, body
):
    platform.fault({"stall": 3600}, path="/artifacts", times=None)
    platform.add_task(mock_task("t-1", "work", {}))
    one = started(program, worker_env, body)
    assert one.line() == "working"
    one.signal(signal.SIGTERM)
    code, out, errors = one.end()
    assert (code, out.split("\n")[0]) == (0, "ended by SystemExit"), errors
    assert platform.status("t-1") == "running"


def test_with_drain_the_running_handler_finishes(program, platform, worker_env):
    platform.add_task(mock_task("t-1", "work", {}))
    one = started(program, worker_env, "time.sleep(1.5); return 7", "drain=60")
    assert one.line() == "working"
    one.signal(signal.SIGTERM)
    code, _, errors = one.end()
    assert code == 0, errors
    assert (platform.status("t-1"), platform.result("t-1")) == ("done", {"result": 7})


def test_a_second_signal_ends_a_handler_that_ignores_the_first(program, platform, worker_env):
    platform.add_task(mock_task("t-1", "work", {}))
    body = (
        "exec('while True:\\n try:\\n  print(0); time.sleep(3600)\\n"
        " except BaseException: print(1)')"
    )
    one = started(program, worker_env, body)
    assert [one.line(), one.line()] == ["working", "0"]
    one.signal(signal.SIGTERM)
    assert [one.line(), one.line()] == ["1", "0"]
    one.signal(signal.SIGTERM)
    code, _, errors = one.end()
    assert code == 0 and "a second signal ends the process" in errors


def test_the_programs_own_handler_of_sigterm_is_kept(program, platform, worker_env):
    text = """
        import signal
        from luml_satellite_sdk import handler, run
        signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
        @handler("work")
        def work(task_id, payload, client): return 1
        print("started", flush=True)
        run()
        print("returned", flush=True)
    """
    platform.add_task(mock_task("t-1", "work", {}))
    one = program(text, env=worker_env)
    assert one.line() == "started"
    assert platform.wait_for("t-1", "done", 60)
    one.signal(signal.SIGTERM)
    assert one.end()[:2] == (0, "mine\nreturned\n")


def test_ctrl_c_ends_a_long_wait(program, platform):
    """Prints how long it took, measured in the program. The bound is for a machine under load."""
    text = """
        import sys, time, signal, threading, os
        from luml_satellite_sdk import PlatformClient
        client = PlatformClient(sys.argv[1], sys.argv[2])
        sent = []
        def interrupt():
            time.sleep(0.5)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            client.get("/satellites/v1/artifacts/x", timeout=3600)
        except KeyboardInterrupt:
            print(f"after {(time.monotonic() - sent[0]) * 1000:.1f} ms")
    """
    platform.fault({"stall": 3600}, path="/artifacts", times=None)
    one = program(text, args=(platform.url, platform.token))
    code, out, errors = one.end()
    assert code == 0, errors
    took = float(re.fullmatch(r"after ([\d.]+) ms\n", out)[1])
    print(f"Ctrl-C in a long wait: {took} ms")
    assert took < 30_000


def test_other_threads_run_while_a_call_waits(platform):
    import threading

    platform.fault({"slow_answer": 0.5}, path="/tasks")
    client = platform.client()
    counted = []
    thread = threading.Thread(target=client.poll_tasks)
    thread.start()
    while thread.is_alive():
        counted.append(1)
    thread.join()
    assert len(counted) > 1000  # the GIL was free
