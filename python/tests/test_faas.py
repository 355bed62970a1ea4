"""The FaaS client, async and sync, and the examples of its specification."""

import ast
import asyncio
import inspect
import sys

import pytest
import spec
from satellite_sdk import faas
from satellite_sdk.errors import (
    NotFoundError,
    RequestTimeoutError,
    SatelliteError,
    UnsupportedError,
)
from satellite_sdk.faas import (
    ExecutionRequest,
    ExecutionsFailed,
    FaaSClient,
    ResourceRequirements,
    SyncFaaSClient,
)
from satellite_sdk.testing import MockFaas


@pytest.fixture
def mock():
    mock = MockFaas()
    mock.add_image("alpine-fast")
    mock.add_image("python-ai")
    return mock


@pytest.fixture
def client(mock):
    with SyncFaaSClient(mock.key, mock.url) as client:
        yield client


def run_with_await(text, names):
    """Runs an example that uses `await` at its top level."""
    code = compile(text, "spec", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def main():
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result

    asyncio.run(main())


def test_the_specs_simple_execution(monkeypatch, mock, capsys):
    monkeypatch.setitem(sys.modules, "faas", faas)
    monkeypatch.setenv("FAAS_ENDPOINT", mock.url)
    monkeypatch.setenv("FAAS_API_KEY", mock.key)
    # The mock really runs the command, by a shell, which knows no `print`.
    run_with_await(spec.FAAS_SIMPLE.replace("print('Hello World')", "echo Hello World"), {})
    assert capsys.readouterr().out == "Hello World\n\n"


def test_the_specs_snapshots_and_branches(mock):
    text = spec.FAAS_SNAPSHOTS
    for line, script in {
        "pip install pytest": "echo pip install pytest",
        "git clone https://github.com/myrepo/project": "mkdir project",
        "pip install -r requirements.txt": "echo fine > requirements.txt",
        "pytest tests/test_module_{i}.py": "cat requirements.txt; echo module {i}",
    }.items():
        assert line in text
        text = text.replace(line, script)
    names = {"client": FaaSClient(mock.key, mock.url), "asyncio": asyncio}
    run_with_await(text, names)
    assert len(names["branches"]) == len(names["results"]) == 10
    assert {result.status for result in names["results"]} <= {"success", "error"}
    assert sorted("module" in result.stdout for result in names["results"]) == [True] * 10


def test_every_method_of_the_spec_exists_with_its_arguments():
    promised = {
        FaaSClient.execute: ["code", "environment", "timeout", "resources"],
        FaaSClient.execute_file: ["file_path"],
        faas.EnvironmentManager.list: [],
        faas.EnvironmentManager.create: ["name", "base_image", "layers", "resources"],
        faas.EnvironmentManager.get: ["name"],
        faas.EnvironmentManager.update: ["name"],
        faas.EnvironmentManager.delete: ["name"],
        faas.ExecutionManager.run: ["command", "environment", "stdin", "env_vars", "timeout"],
        faas.ExecutionManager.run_batch: ["executions"],
        faas.ExecutionManager.stream: ["command", "environment"],
        faas.SnapshotManager.create: ["execution_id", "name"],
        faas.SnapshotManager.restore: ["snapshot_id", "branch_count"],
        faas.SnapshotManager.list: [],
        faas.SnapshotManager.delete: ["snapshot_id"],
    }
    for method, names in promised.items():
        found = list(inspect.signature(method).parameters)[1:]
        assert found[: len(names)] == names, method
    assert inspect.signature(FaaSClient.execute).parameters["environment"].default == "alpine-fast"


def test_a_command_with_stdin_variables_and_a_real_exit_code(client):
    result = client.executions.run(
        ["sh", "-c", 'cat; echo "$A"; exit 7'],
        "alpine-fast",
        stdin=b"in\n",
        env_vars={"A": "b c"},
        checked=True,
    )
    assert (result.stdout, result.exit_code, result.status) == ("in\nb c\n", 7, "error")
    assert result.duration >= 0 and not result.is_success
    with pytest.raises(SatelliteError, match="exit code 7") as error:
        result.ok()
    assert error.value.result is result


def test_a_file_runs_by_its_extension(client, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("print(6 * 7)")
    assert client.execute_file(script).stdout == "42\n"


def test_a_batch_runs_in_parallel_and_keeps_its_order(mock):
    with SyncFaaSClient(mock.key, mock.url, max_parallel=3) as client:
        many = [ExecutionRequest(f"sleep 0.2; echo {n}", "alpine-fast") for n in range(6)]
        results = client.executions.run_batch(many)
        assert [result.stdout for result in results] == [f"{n}\n" for n in range(6)]
        assert mock.most_at_once() <= 3
        with pytest.raises(ExecutionsFailed) as error:
            client.executions.run_batch([{"command": "echo 1"}, {"command": " "}])
        assert "the command is empty" in error.value.errors[1]
        assert error.value.results[0].stdout == "1\n"


def test_streams_in_both_faces(client, mock):
    assert "".join(client.executions.stream("echo a; echo b", "alpine-fast")) == "a\nb\n"
    events = list(client.executions.stream_events("echo a; echo b >&2; exit 3"))
    assert (events[-1].stream, events[-1].code) == ("exit", 3)
    assert {event.stream for event in events} == {"stdout", "stderr", "exit"}

    async def main():
        async with FaaSClient(mock.key, mock.url) as client:
            pieces = [text async for text in client.executions.stream(["echo", "a b"], None)]
            return "".join(pieces)

    assert asyncio.run(main()) == "a b\n"


def test_a_stream_that_breaks_is_resumed(client, mock):
    mock.cut_stream(200)
    text = "".join(client.executions.stream("for i in $(seq 200); do echo line $i; done"))
    assert text.splitlines() == [f"line {n}" for n in range(1, 201)]


def test_environments(client):
    made = client.environments.create(
        "mine", "rust:latest", layers=["cargo"], resources=ResourceRequirements(memory_mb=512)
    )
    assert (made.name, made.base_image) == ("mine", "rust:latest")
    changed = client.environments.update("mine", cache_strategy="aggressive")
    assert changed.cache_strategy == "aggressive" and changed.base_image == "rust:latest"
    assert "mine" in {one.name for one in client.environments.list()}
    assert client.environments.delete("mine") is True
    with pytest.raises(NotFoundError):
        client.environments.get("mine")


def test_executions_and_snapshots(client):
    result = client.execute("echo hi > file")
    assert client.executions.get(result.request_id).status == "success"
    assert result.request_id in {one.id for one in client.executions.list()}
    snapshot = client.snapshots.create(result.request_id, "base")
    assert client.snapshots.get(snapshot.id).name == "base"
    branch = client.snapshots.restore(snapshot.id)
    assert branch.execute("cat file").stdout == "hi\n"
    assert client.snapshots.delete(snapshot.id) is True
    events = list(client.executions.logs(result.request_id))
    assert (events[-1].stream, events[-1].code) == ("exit", 0)


def test_a_time_limit_says_that_the_work_may_still_run(client):
    with pytest.raises((RequestTimeoutError, SatelliteError)) as error:
        client.execute("sleep 30", timeout=0.3).ok()
    assert "timeout" in str(error.value) or "may still run" in str(error.value)


def test_a_route_that_the_gateway_lacks_is_unsupported():
    gateway = MockFaas("gateway")
    with SyncFaaSClient(None, gateway.url) as client:
        assert client.health()["status"] == "healthy"
        with pytest.raises(UnsupportedError, match="environments"):
            client.environments.list()
        assert client.gateway.metrics()["total_requests"] == 0


def test_many_async_calls_at_once(mock):
    async def main():
        async with FaaSClient(mock.key, mock.url) as client:
            calls = [client.execute(f"echo {n}", timeout=60) for n in range(40)]
            return [result.stdout for result in await asyncio.gather(*calls)]

    assert asyncio.run(main()) == [f"{n}\n" for n in range(40)]


def test_the_sync_face_is_generated_from_the_async_one():
    for kind, sync in [
        (FaaSClient, SyncFaaSClient),
        (faas.ExecutionManager, faas.sync.SyncExecutionManager),
        (faas.SnapshotManager, faas.sync.SyncSnapshotManager),
    ]:
        names = {name for name in vars(kind) if not name.startswith("_")}
        assert names == {name for name in vars(sync) if not name.startswith("_")}
