"""The SkyPilot client: the nine operations of its specification, in Python."""

import asyncio
import base64
import re

import pytest
from fake_skypilot import FakeSkyPilot
from satellite_sdk.errors import NotFoundError, OutOfCapacityError, SatelliteError, UnsupportedError
from satellite_sdk.skypilot import (
    AsyncSkyPilotClient,
    AWSCredentials,
    AzureCredentials,
    GCPCredentials,
    SkyPilotClient,
)

TASK_YAML = """
resources:
  cloud: aws
  region: us-east-1
  instance_type: g5.4xlarge
  accelerators: A10G:1

run: |
  python -m vllm.entrypoints.openai.api_server --port 8000
"""


@pytest.fixture
def server():
    server = FakeSkyPilot()
    yield server
    server.close()


@pytest.fixture
def sky(server):
    with SkyPilotClient(server.url, "sky_sa_token") as sky:
        yield sky


def test_health(sky):
    health = sky.health()
    assert (health.status, health.version, health.api_version) == ("healthy", "0.14.1", 62)


def test_launch_wait_and_terminate(sky, server):
    launch = sky.launch(
        "llama3-8b-prod",
        TASK_YAML,
        retry_until_up=True,
        idle_minutes_to_stop=30,
        envs={"VLLM_PORT": "8000"},
    )
    assert sky.wait_for_request(launch.request_id).status == "SUCCEEDED"
    [body] = server.bodies("/launch")
    assert body["cluster_name"] == "llama3-8b-prod" and body["retry_until_up"] is True
    assert body["idle_minutes_to_autostop"] == 30 and '"VLLM_PORT": "8000"' in body["task"]
    ended = sky.terminate("llama3-8b-prod", False)
    assert sky.wait_for_request(ended.request_id).name == "sky.down"


def test_the_credentials_of_a_tenant_go_with_the_request_and_are_not_shown(sky, server):
    tenant = AWSCredentials("AKIA-hush", "secret-hush", "us-west-2")
    sky.launch("tenant-abc", TASK_YAML, credentials=tenant)
    variables = server.bodies("/launch")[0]["env_vars"]
    assert variables["AWS_ACCESS_KEY_ID"] == "AKIA-hush"
    assert variables["AWS_DEFAULT_REGION"] == "us-west-2"
    assert "hush" not in repr(tenant)
    sky.stop("tenant-abc", credentials=AzureCredentials("t", "c", "s", "u"))
    with pytest.raises(UnsupportedError):
        sky.start("tenant-abc", credentials=GCPCredentials("{}"))


def test_status_of_one_and_of_all(sky, server):
    with pytest.raises(NotFoundError) as error:
        sky.get_status("none")
    assert error.value.server_type == "ClusterDoesNotExist"
    server.cluster("one", accelerators="{'A10G': 1}")
    cluster = sky.get_status("one")
    assert (cluster.name, cluster.status, cluster.provider) == ("one", "UP", "AWS")
    assert [one.name for one in sky.list_clusters(all_users=True)] == ["one"]
    assert server.bodies("/status")[-1]["include_credentials"] is False


def test_execute_returns_the_exit_code_and_both_streams(sky, server):
    def script():
        body = server.bodies("/exec")[-1]
        return re.search(r"@[0-9a-f]{16}", body["task"])[0]

    def log():
        marker = script()
        out = base64.b64encode(b"out\n").decode()
        err = base64.b64encode(b"err\n").decode()
        return f"{marker}:1:{out}\n{marker}:2:{err}\n\n{marker}:x:3:4:4\n"

    original = server.submit

    def submit(path):
        if path == "/logs":
            server.log = log()
        return original(path)

    server.submit = submit
    result = sky.execute("one", "nvidia-smi", timeout=30)
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_logs_line_by_line_in_both_faces(sky, server):
    server.log = "\x1b[36m(task)\x1b[0m one\n<sky-payload>x</sky-payload>\ntwo\n"
    assert list(sky.logs("one", tail=100)) == ["(task) one", "two"]
    with pytest.raises(UnsupportedError):
        list(sky.logs("one", since="1h"))

    async def main():
        async with AsyncSkyPilotClient(server.url, "t") as client:
            return [line async for line in client.logs("one", follow=True)]

    assert asyncio.run(main()) == ["(task) one", "two"]


def test_the_cost_is_estimated(sky):
    estimate = sky.estimate_cost(TASK_YAML, hours=24)
    assert (estimate.provider, estimate.instance_type) == ("AWS", "g5.4xlarge")
    assert (estimate.cost_per_hour, estimate.is_exact) == (1.624, True)
    assert estimate.estimated_cost == pytest.approx(1.624 * 24)
    assert sky.accelerators("A10G")["A10G"][0]["price"] == 1.624


def test_a_failed_request_is_an_exception_with_the_servers_name_for_it(sky, server):
    server.fails["/launch"] = {
        "type": "ResourcesUnavailableError",
        "message": "no A10G anywhere",
        "object": "gASVpickle",
    }
    launch = sky.launch("one", TASK_YAML)
    with pytest.raises(OutOfCapacityError, match="no A10G anywhere") as error:
        sky.wait_for_request(launch.request_id)
    assert error.value.server_type == "ResourcesUnavailableError"
    assert not error.value.is_retryable


def test_cancelling_nothing_is_refused(sky):
    with pytest.raises(ValueError):
        sky.cancel_jobs("one", [])
    with pytest.raises(SatelliteError):
        sky.list_clusters(refresh="often")


def test_the_addresses_of_both_variables_work(monkeypatch, server):
    monkeypatch.setenv("SKYPILOT_API_SERVER_ENDPOINT", server.url)
    assert SkyPilotClient().health().status == "healthy"
