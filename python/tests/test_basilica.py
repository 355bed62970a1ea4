"""The Basilica client, sync and async, and the examples of its specification."""

import asyncio
import sys

import pytest
import spec
from satellite_sdk import basilica
from satellite_sdk.basilica import AsyncBasilicaClient, BasilicaClient, DeploymentConfig
from satellite_sdk.errors import (
    AuthenticationError,
    CancelledError,
    NotFoundError,
    SatelliteError,
    SettingsError,
    UnsupportedError,
)
from satellite_sdk.testing import MockBasilica

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB me@edge"


@pytest.fixture
def mock():
    return MockBasilica()


@pytest.fixture
def client(mock):
    with BasilicaClient(mock.url, mock.key) as client:
        yield client


def adapted(text, mock):
    """The example with the address and the token of the mock, and with a real key in place of
    the ellipsis. Nothing else is changed.
    """
    text = text.replace("https://api.basilica.ai", mock.url)
    text = text.replace("your_auth_token", mock.key)
    return text.replace("ssh-rsa ...", KEY)


def test_the_specs_sync_example(monkeypatch, mock, capsys):
    monkeypatch.setitem(sys.modules, "basilica", basilica)
    exec(adapted(spec.BASILICA_SYNC, mock), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Available executors: ") and printed[1].startswith("Deployed: ")
    assert printed[2].startswith("SSH: ssh -p ")
    [deployed] = [r for r in mock.requests() if r["method"] == "POST"]
    assert '"container_port":80' in deployed["body"] and '"memory_mb":4096' in deployed["body"]
    assert mock.requests()[-1]["method"] == "DELETE"


def test_the_specs_async_example(monkeypatch, mock, capsys):
    monkeypatch.setitem(sys.modules, "basilica", basilica)
    mock.script(["one", "two"])
    exec(adapted(spec.BASILICA_ASYNC, mock).replace("executor-123", "executor-1"), {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("] ")[1] for line in printed] == ["one", "two"]


def test_the_specs_tests(monkeypatch):
    monkeypatch.setitem(sys.modules, "basilica", basilica)
    names = {}
    exec(spec.BASILICA_TESTS.replace("@pytest.mark.asyncio\n", ""), names)
    names["test_deployment_config"]()
    asyncio.run(names["test_async_client"]())
    assert callable(names["client"])


def config(client, **more):
    return DeploymentConfig(client.list_executors()[0].id, "nginx:latest", KEY, **more)


def test_a_deployment_from_start_to_end(client):
    made = client.deploy(config(client, ports=[(80, 8080), 443], environment={"A": "b"}))
    assert made.ssh_access.port > 0
    found = client.get(made.id)
    assert (found.id, found.image) == (made.id, "nginx:latest")
    assert client.status(made.id).status in ("pending", "running")
    assert [one.id for one in client.list_deployments()] == [made.id]
    assert client.list_deployments(gpu_type="none") == []
    client.stop(made.id)
    with pytest.raises(NotFoundError):
        client.get(made.id)


def test_all_wrong_values_of_a_config_are_named_and_nothing_is_sent(client, mock):
    before = len(mock.requests())
    wrong = DeploymentConfig("e", "", KEY, cpu_cores=0, ports=[(80, 1), (81, 1)])
    with pytest.raises(SettingsError) as error:
        client.deploy(wrong)
    for name in ("image", "cpu_cores", "ports"):
        assert name in str(error.value)
    assert len(mock.requests()) == before


def test_logs_are_resumed_after_an_interruption_without_loss(client, mock):
    mock.script([f"line {n}" for n in range(50)])
    made = client.deploy(config(client))
    mock.cut_log(700)
    lines = [str(line) for line in client.stream_logs(made.id)]
    assert lines == [f"line {n}" for n in range(50)]
    with client.stream_logs(made.id, follow=False, tail=2) as logs:
        assert [line.message for line in logs] == ["line 48", "line 49"]


def test_a_followed_log_ends_when_it_is_closed(client, mock):
    made = client.deploy(config(client))
    mock.print(made.id, "first")
    logs = client.stream_logs(made.id)
    assert next(logs).message == "first"
    logs.close()
    assert list(logs) == []
    assert client.health()["status"]  # other calls continue


def test_cancelling_a_task_ends_its_stream_and_no_other_call(mock):
    async def main():
        async with AsyncBasilicaClient(mock.url, mock.key) as client:
            executors = await client.list_executors()
            made = await client.deploy(DeploymentConfig(executors[0].id, "nginx", KEY))
            mock.print(made.id, "first")
            seen = []

            async def follow(number):
                async for line in client.stream_logs(made.id):
                    seen.append((number, line.message))

            tasks = [asyncio.create_task(follow(n)) for n in range(2)]
            while len(seen) < 2:
                await asyncio.sleep(0.01)
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            mock.print(made.id, "second")
            while (1, "second") not in seen:
                await asyncio.sleep(0.01)
            mock.finish(made.id)
            await asyncio.wait_for(tasks[1], 60)
            return seen

    seen = asyncio.run(main())
    assert (0, "second") not in seen


def test_a_stalled_async_call_ends_with_its_time_limit_of_asyncio(mock):
    mock.fault({"stall": 3600}, "GET", "/executors")

    async def main():
        client = AsyncBasilicaClient(mock.url, mock.key)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.list_executors(), 0.2)
        return await client.list_executors()

    assert asyncio.run(main())


def test_the_newer_service_needs_its_own_configs(client):
    with pytest.raises(UnsupportedError, match="balance"):
        client.get_balance()
    newer = MockBasilica("deployments")
    with BasilicaClient(newer.url, newer.key, api_version="deployments") as client:
        made = client.deploy(DeploymentConfig(image="nginx", no_ssh=True, ports=[(80, 80)]))
        assert made.url
        assert client.get_balance()["balance"] == "12.500000"
        assert client.register_ssh_key("me", KEY)["name"] == "me"


def test_a_token_is_refreshed(mock):
    access, refresh = mock.tokens()
    with BasilicaClient(
        mock.url, access, refresh_token=refresh, auth0=(mock.url, "client-1")
    ) as client:
        assert client.list_executors()


def test_errors_never_contain_the_token(mock):
    client = BasilicaClient(mock.url, "basilica_hush-hush")
    with pytest.raises(AuthenticationError) as error:
        client.list_deployments()
    assert "hush" not in str(error.value) and "hush" not in repr(client)
    with pytest.raises(SettingsError, match="api_version"):
        BasilicaClient(mock.url, "t", api_version="x")
    with pytest.raises(SettingsError, match="unknown field"):
        BasilicaClient(mock.url, "t", colour="red")


def test_a_closed_client_says_so(mock):
    client = BasilicaClient(mock.url, mock.key)
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.health()
    assert issubclass(CancelledError, SatelliteError)
