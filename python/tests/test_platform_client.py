"""The platform's client: all methods, raw requests, errors."""

import pickle

import pytest
from luml_satellite_sdk import PlatformClient, get_client, pair
from luml_satellite_sdk.testing import MockPlatformClient, mock_task
from satellite_sdk.errors import (
    ConflictError,
    NotFoundError,
    RequestTimeoutError,
    SatelliteError,
    SettingsError,
)

#: An id that the platform accepts, of nothing.
NONE = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def client(platform):
    platform.add_deployment(
        {
            "id": "d-1",
            "name": "iris",
            "env_variables_secrets": {"KEY": "s-1"},
            "dynamic_attributes_secrets": {"temperature": "s-2"},
            "tags": ["a"],
        }
    )
    platform.add_secret("s-1", "key", "hush-1")
    platform.add_secret("s-2", "temperature", "hush-2")
    platform.add_artifact("a-1", {"id": "a-1"}, "http://files.example/a-1?sig=hush")
    platform.add_inference_key("user-key")
    platform.add_task(mock_task("t-1", "deploy", {"deployment_id": "d-1"}))
    return platform.client()


def test_tasks(client, platform):
    [task] = client.poll_tasks()
    assert (task.id, task.type, task.payload) == ("t-1", "deploy", {"deployment_id": "d-1"})
    assert client.claim_task("t-1") and not client.claim_task(NONE)
    client.update_task_status("t-1", "completed", result={"n": 1})
    assert platform.task("t-1")["result"] == {"n": 1}
    assert [task.id for task in client.list_tasks("done")] == ["t-1"]


def test_deployments(client, platform):
    deployment = client.get_deployment("d-1")
    assert (deployment.name, deployment.status, deployment.tags) == ("iris", "pending", ["a"])
    changed = client.update_deployment("d-1", inference_url="http://here")
    assert (changed.inference_url, changed.tags) == ("http://here", ["a"])
    assert client.update_deployment_status("d-1", "active").status == "active"
    assert [one.id for one in client.list_deployments()] == ["d-1"]
    with pytest.raises(ConflictError) as error:
        client.delete_deployment("d-1")
    assert error.value.status == 409
    with pytest.raises(SettingsError, match="colour: is not a field"):
        client.update_deployment("d-1", colour="red")


def test_secrets_and_artifacts(client):
    assert client.fetch_secrets("d-1") == {"KEY": "hush-1", "temperature": "hush-2"}
    secret = client.get_secret("s-1")
    assert secret.value == "hush-1" and "hush" not in repr(secret)
    assert {one.id for one in client.get_secrets()} == {"s-1", "s-2"}
    assert client.get_artifact("a-1").artifact["id"] == "a-1"
    assert client.artifact_download_url("a-1").startswith("http://files.example")
    assert client.authorize_inference("user-key") and not client.authorize_inference("other")


def test_pairing(client, platform):
    platform.add_pairing_code("ABC123")
    token = pair(code="ABC123", platform_url=platform.url)
    assert PlatformClient(platform.url, token).poll_tasks() is not None
    with pytest.raises(SatelliteError, match="Satellites page"):
        client.pair("wrong")


def test_raw_requests(client, platform):
    response = client.get("/satellites/v1/tasks", params={"status": "pending"})
    assert response.status_code == 200 and response.is_success
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()[0]["id"] == "t-1"
    report = client.post("/satellites/v1/tasks/t-1/status", json={"status": "running"})
    assert report.raise_for_status().json()["status"] == "running"
    missing = client.delete(f"/satellites/v1/deployments/{NONE}")
    assert missing.status_code == 404
    with pytest.raises(SatelliteError) as error:
        missing.raise_for_status()
    assert error.value.status == 404
    with pytest.raises(TypeError):
        client.get("/x", headers={})


def test_errors_answer_questions_and_can_be_pickled(client, platform):
    with pytest.raises(NotFoundError) as error:
        client.get_deployment(NONE)
    found = error.value
    assert found.is_not_found and found.status == 404 and not found.is_retryable
    assert f"GET /satellites/v1/deployments/{NONE}" in str(found) and platform.url in str(found)
    assert isinstance(found, LookupError)
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is NotFoundError and again.status == 404 and str(again) == str(found)


def test_a_read_is_retried_after_a_transient_fault(client, platform):
    platform.fault({"status": 503}, path="/deployments/d-1")
    assert client.get_deployment("d-1").name == "iris"
    statuses = [r["status"] for r in platform.requests() if r["path"].endswith("/d-1")]
    assert statuses == [503, 200]


def test_a_time_limit_is_an_exception_of_its_own(client, platform):
    platform.fault({"stall": 60}, path="/tasks", times=None)
    with pytest.raises(RequestTimeoutError) as error:
        client.get("/satellites/v1/tasks", timeout=0.3)
    assert error.value.is_timeout and isinstance(error.value, TimeoutError)


def test_the_token_is_in_no_error(platform):
    client = PlatformClient("http://127.0.0.1:1", "dfssat_hush", max_backoff_sec=0.01)
    with pytest.raises((ConnectionError, TimeoutError)) as error:
        client.get("/satellites/v1/tasks", timeout=0.2)
    assert "hush" not in str(error.value) and "hush" not in repr(client)


def test_get_client_is_the_workers_own_inside_of_a_handler(platform):
    seen = []
    worker = platform.worker({"work": lambda *_: seen.append(get_client())})
    platform.add_task(mock_task("t-1", "work", {}))
    worker.run_until_idle()
    assert seen == [worker.client]


def test_the_client_in_memory():
    client = MockPlatformClient()
    client.add_task(mock_task("t-1"))
    client.add_deployment("d-1", name="iris")
    client.secrets["d-1"] = {"KEY": "hush"}
    client.add_response("GET", "/mine", {"a": 1})
    assert client.claim_task("t-1") and not client.claim_task("t-1")
    client.update_task_status("t-1", "completed", "fine")
    assert client.tasks["t-1"].status == "done"
    assert client.task_messages["t-1"] == "fine"
    assert client.get_deployment("d-1").name == "iris"
    assert client.fetch_secrets("d-1") == {"KEY": "hush"}
    assert client.get("/mine").json() == {"a": 1} and client.get("/other").status_code == 404
    with pytest.raises(NotFoundError):
        client.get_deployment("none")
