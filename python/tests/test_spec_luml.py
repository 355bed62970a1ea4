"""The examples of the LUML worker's specification, word for word."""

import luml_satellite_sdk
import pytest
import spec
from luml_satellite_sdk import PlatformClient
from luml_satellite_sdk.testing import mock_task
from pydantic import BaseModel


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    registry = {}
    monkeypatch.setattr(luml_satellite_sdk.handlers, "_REGISTRY", registry)
    monkeypatch.setattr(luml_satellite_sdk.sdk, "_REGISTRY", registry)
    return registry


def test_the_entry_point_and_its_test(platform):
    class BatchPayload(BaseModel):
        size: int

    names = {"PlatformClient": PlatformClient, "BatchPayload": BatchPayload, "__name__": "x"}
    exec(spec.LUML_ENTRY_POINT, names)
    platform.add_deployment({"id": "dep-1", "name": "iris"})
    platform.add_task(mock_task("t-1", "deploy", {"deployment_id": "dep-1"}))
    platform.add_task(mock_task("t-2", "batch_inference", {"size": 3}))
    platform.add_task(mock_task("t-3", "batch_inference", {"size": "many"}))
    platform.add_task(mock_task("t-4", "async_task", {}))
    platform.worker().run_until_idle()
    assert [platform.status(f"t-{n}") for n in (1, 2, 3, 4)] == ["done", "done", "failed", "done"]

    # The spec's own test passes payloads through the handler itself.
    exec(spec.LUML_TESTING, names)
    client_class = names["MockPlatformClient"]

    class WithDeployment(client_class):
        def __init__(self):
            super().__init__()
            self.add_deployment("dep-123")

    names["MockPlatformClient"] = WithDeployment
    names["test_my_handler"]()


def test_the_entry_point_runs_as_a_program(program, platform, worker_env):
    text = "from luml_satellite_sdk import PlatformClient\nBatchPayload = dict\n"
    platform.add_deployment({"id": "dep-1", "name": "iris"})
    platform.add_task(mock_task("t-1", "deploy", {"deployment_id": "dep-1"}))
    one = program(text + spec.LUML_ENTRY_POINT, env=worker_env)
    assert platform.wait_for("t-1", "done", 60)
    one.signal(15)
    code, _, errors = one.end()
    assert code == 0, errors


def test_payloads_by_annotation(platform, capsys):
    names = {"PlatformClient": PlatformClient, "handler": luml_satellite_sdk.handler}
    exec(spec.LUML_PAYLOADS, names)
    whole = {"deployment_id": "dep-7", "model_id": "m", "artifact_url": "u"}
    platform.add_task(mock_task("t-1", "deploy", whole))
    platform.add_task(mock_task("t-2", "flexible", {"whatever": "something"}))
    platform.add_task(mock_task("t-3", "deploy", {"deployment_id": "dep-8"}))
    platform.worker().run_until_idle()
    assert platform.status("t-1") == platform.status("t-2") == "done"
    assert platform.result("t-3")["error"].startswith("payload.model_id: ")
    assert capsys.readouterr().out == "dep-7\nsomething\n"


def test_the_names_of_the_extras():
    names = {}
    exec(spec.LUML_EXTRAS, names)
    assert all(callable(names[name]) for name in ("download_file", "temp_directory", "retry"))


def test_every_method_of_the_specs_client_exists():
    names = "poll_tasks claim_task update_task_status fetch_secrets pair get_deployment"
    for name in [*names.split(), "get", "post", "put", "delete"]:
        assert callable(getattr(PlatformClient, name))
