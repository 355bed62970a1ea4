"""What must hold for any input and any use: no panic, flat memory, forks, threads."""

import gc
import multiprocessing
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from luml_satellite_sdk import SatelliteSDK, SatelliteSDKSettings
from luml_satellite_sdk.failure import Failure
from luml_satellite_sdk.payloads import converter
from luml_satellite_sdk.testing import MockPlatform, mock_task
from satellite_sdk import _native
from satellite_sdk.errors import SatelliteError
from satellite_sdk.testing import MockFaas

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(), max_size=8)
    | st.binary(max_size=4)
    | st.sampled_from([object(), print, {1, 2}, float, -1, 2**64, "\ud800", "\0", ""])
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(leaves.filter(lambda key: key.__hash__ is not None), inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
#: What Python code expects of a wrong argument. A panic would be RuntimeError or worse.
EXPECTED = (TypeError, ValueError, SatelliteError, OverflowError)

fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture(scope="module")
def connections():
    mocks = [MockPlatform(), MockFaas()]
    options = [
        ("platform", {"platform_url": mocks[0].url, "satellite_token": mocks[0].token}),
        ("faas", {"url": mocks[1].url, "token": mocks[1].key, "max_retries": 0, "timeout": 5}),
        ("basilica", {"url": "http://127.0.0.1:1", "token": "t", "max_retries": 0}),
        ("skypilot", {"url": "http://127.0.0.1:1", "token": "t", "max_retries": 0}),
    ]
    yield [_native.connect(kind, given) for kind, given in options]
    del mocks


OPERATIONS = {
    0: "list_tasks claim_task update_task_status get_deployment update_deployment register http",
    1: "run_batch logs execution create_environment branch fork_execution prewarm restore",
    2: "deploy list_executors list_deployments get logs create_api_key events check_config",
    3: "launch logs clusters exec status cancel_jobs estimate_cost accelerators job_status",
}
calls = st.sampled_from([(n, op) for n, ops in OPERATIONS.items() for op in ops.split()])


@fuzz
@given(call=calls, arguments=anything)
def test_no_argument_of_an_operation_causes_a_panic(connections, call, arguments):
    number, operation = call
    try:
        connections[number].call(operation, arguments)
    except EXPECTED as error:
        assert "a bug in satellite-sdk" not in str(error)


NAMES = ["id", "status", "message", "result", "command", "timeout", "stdin", "envs", "task"]
NAMES += ["cluster_name", "job_ids", "tail", "path", "method", "body", "changes", "count"]


@fuzz
@given(call=calls, arguments=st.dictionaries(st.sampled_from(NAMES), anything, max_size=5))
def test_no_named_argument_causes_a_panic(connections, call, arguments):
    number, operation = call
    if "command" in arguments:
        arguments["timeout"] = 1
    try:
        connections[number].call(operation, arguments)
    except EXPECTED as error:
        assert "a bug in satellite-sdk" not in str(error)


@fuzz
@given(
    name=st.sampled_from(
        "satellite_token platform_url poll_interval_sec max_backoff_sec health_port base_url "
        "supported_task_types capabilities drain on_orphan health_host ca_file slug".split()
    ),
    value=anything,
)
def test_no_setting_causes_a_panic(name, value):
    try:
        SatelliteSDKSettings(**{"satellite_token": "t", name: value})
    except EXPECTED as error:
        assert "a bug in satellite-sdk" not in str(error)


@fuzz
@given(kind=st.sampled_from(["faas", "basilica", "skypilot", "platform", "x"]), given_=anything)
def test_no_option_of_a_client_causes_a_panic(kind, given_):
    try:
        _native.connect(kind, given_)
    except EXPECTED as error:
        assert "a bug in satellite-sdk" not in str(error)


hints = st.sampled_from(
    [int, str, float, bool, list[int], dict[str, int], int | None, list[str | int], dict]
)


@fuzz
@given(hint=hints, payload=anything)
def test_a_payload_fits_or_is_a_failure(hint, payload):
    convert = converter(hint)
    try:
        convert(payload) if convert else None
    except Failure as error:
        assert str(error).startswith("payload")


def test_an_argument_that_contains_itself_is_an_error(platform):
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="does it contain itself"):
        platform.client().update_task_status("t", "done", result=loop)


def test_any_result_of_a_handler_ends_its_task(platform):
    results = [object(), {1: 2}, float("nan"), 2**70, "\ud800", b"x", print, [[[{"a": {3}}]]]]

    def work(task_id, payload, client):
        return results[payload["n"]]

    for n in range(len(results)):
        platform.add_task(mock_task(f"t-{n}", "work", {"n": n}))
    platform.worker({"work": work}).run_until_idle()
    for n in range(len(results)):
        assert platform.status(f"t-{n}") == "failed"
        assert platform.result(f"t-{n}")["reason"] == "the result is not JSON"


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_memory_is_flat_over_100_000_calls():
    """Calls that fail in the client, so that the mock keeps nothing of them."""
    connection = _native.connect("faas", {"url": "http://127.0.0.1:1", "token": "t"})
    arguments = {"command": ["echo", "x" * 200], "timeout": 0}

    def calls(count):
        for _ in range(count):
            try:
                connection.call("execute", arguments)
            except SatelliteError:
                pass

    calls(5_000)
    gc.collect()
    before = resident()
    calls(100_000)
    gc.collect()
    grown = resident() - before
    print(f"100,000 calls: resident memory grew by {grown / 1024:.0f} KiB")
    assert grown < 4 * 1024 * 1024


@pytest.mark.slow
def test_memory_is_flat_over_many_requests(platform):
    """Over real HTTP. The mock keeps its requests, so it is emptied by being replaced."""
    grown = []
    for _ in range(6):
        mock = MockPlatform()
        client = mock.client()
        for _ in range(1_000):
            client.poll_tasks()
        del client, mock
        gc.collect()
        grown.append(resident())
    print(f"after each 1,000 requests: {[size // 1024 for size in grown]} KiB")
    assert grown[-1] - grown[1] < 4 * 1024 * 1024


def in_child(url, token, client, queue):
    queue.put(client.poll_tasks()[0].id)
    worker = SatelliteSDK(
        handlers={"work": lambda *_: os.getpid()},
        platform_url=url,
        satellite_token=token,
        poll_interval_sec=0.01,
        health_enabled=False,
    )
    worker.run_until_idle()
    queue.put("idle")


def test_a_client_and_a_worker_work_in_the_child_of_a_fork(platform):
    platform.add_task(mock_task("t-1", "work", {}))
    client = platform.client()
    assert client.poll_tasks()  # a connection is open, and a thread of the pool waits
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=in_child, args=(platform.url, platform.token, client, queue))
    child.start()
    assert queue.get(timeout=60) == "t-1" and queue.get(timeout=60) == "idle"
    child.join(60)
    assert child.exitcode == 0
    assert platform.result("t-1") == {"result": child.pid}
    assert client.poll_tasks() == []  # the parent's connection was not disturbed


def test_a_client_is_shared_by_threads(platform):
    for n in range(20):
        platform.add_task(mock_task(f"t-{n}", "work", {}))
    client = platform.client()
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(len(client.poll_tasks()))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [20] * 20


def test_a_program_may_end_while_calls_are_in_progress(program, platform):
    platform.fault({"stall": 3600}, path="/tasks", times=None)
    text = """
        import sys, threading, time
        from luml_satellite_sdk import PlatformClient
        client = PlatformClient(sys.argv[1], sys.argv[2])
        threading.Thread(target=client.poll_tasks, daemon=True).start()
        time.sleep(0.3)
        print("end")
    """
    code, out, errors = program(text, args=(platform.url, platform.token)).end()
    assert (code, out) == (0, "end\n"), errors
