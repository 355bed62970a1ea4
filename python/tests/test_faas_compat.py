"""The cases of the gateway's own Python SDK, rewritten, against the mock of that gateway."""

import asyncio

import pytest
from satellite_sdk.errors import SatelliteError, UnsupportedError
from satellite_sdk.faas.compat import (
    ClientConfig,
    ExecutionMode,
    ExecutionResult,
    FaaSClient,
    FunctionBuilder,
    Runtime,
    run,
)
from satellite_sdk.testing import MockFaas


@pytest.fixture
def gateway():
    mock = MockFaas("gateway")
    for image in ("python:3.11-slim", "pytorch/pytorch:latest"):
        mock.add_image(image)
    return mock


def with_client(gateway, work):
    async def main():
        async with FaaSClient(gateway.url) as client:
            return await work(client)

    return asyncio.run(main())


def test_the_configuration_of_a_client():
    assert FaaSClient("http://localhost:8080").config.base_url == "http://localhost:8080"
    config = ClientConfig(base_url="http://localhost:8080", runtime=Runtime.DOCKER)
    assert FaaSClient("http://localhost:8080", config=config).config.runtime == Runtime.DOCKER


def test_the_words_of_runtimes_and_modes():
    assert [one.value for one in Runtime] == ["docker", "firecracker", "auto"]
    names = {"EPHEMERAL", "CACHED", "BRANCHED", "CHECKPOINTED", "PERSISTENT"}
    assert {one.name for one in ExecutionMode} == names


def test_cache_keys_depend_on_the_code_alone():
    client = FaaSClient("http://localhost:8080")
    one, same, other = (client._get_cache_key(text) for text in ("a", "a", "b"))
    assert one == same != other and len(one) == 32


def test_a_new_client_has_done_nothing(gateway):
    metrics = FaaSClient("http://localhost:8080").get_client_metrics()
    assert (metrics.total_requests, metrics.cache_hit_rate, metrics.error_rate) == (0, 0, 0)


def test_execute_returns_output_code_and_duration(gateway):
    async def work(client):
        result = await client.execute(command="echo test", image="alpine:latest")
        assert isinstance(result, ExecutionResult)
        assert (result.output, result.exit_code) == ("test\n", 0)
        assert result.duration_ms >= 0 and result.request_id
        assert client.get_client_metrics().total_requests == 1
        pairs = await client.execute("echo $A$B", env_vars=[("A", "1"), ("B", "2")])
        assert pairs.output == "12\n"
        return await client.execute("echo $A", env_vars={"A": "x"}, runtime=Runtime.DOCKER)

    assert with_client(gateway, work).output == "x\n"


def test_code_in_three_ways(gateway):
    async def work(client):
        python = await client.run_python('import json\nprint(json.dumps({"a": 1}))')
        bash = await client.run_bash("echo $((40 + 2))")
        return python.output, bash.output

    assert with_client(gateway, work) == ('{"a": 1}\n', "42\n")
    assert asyncio.run(run("print(2 + 2)", "python", gateway.url)).output == "4\n"


def test_a_fork_starts_from_its_parent(gateway):
    async def work(client):
        parent = await client.execute("true")
        fork = await client.fork_execution(parent_id=parent.request_id, command="echo forked")
        return fork.output

    assert with_client(gateway, work) == "forked\n"


def test_snapshots_prewarming_metrics_and_health(gateway):
    async def work(client):
        made = await client.create_snapshot("c-1", "base", "a description")
        assert (made["name"], made["container_id"]) == ("base", "c-1")
        await client.prewarm("pytorch/pytorch:latest", count=2)
        await client.execute("true")
        assert (await client.get_metrics())["total_requests"] == 1
        assert (await client.health_check())["status"] == "healthy"

    with_client(gateway, work)


def test_logs_of_an_execution_are_unsupported_there(gateway):
    async def work(client):
        result = await client.execute("echo one")
        with pytest.raises(UnsupportedError):
            async for _ in client.stream_logs(result.request_id):
                pass

    with_client(gateway, work)


def test_a_builder_and_errors(gateway):
    async def work(client):
        result = await FunctionBuilder(client, "echo $A").env("A", "b").timeout_ms(9000).execute()
        assert result.output == "b\n"
        with pytest.raises(SatelliteError):
            await client.execute("true", image="nothing:none")
        assert client.get_client_metrics().error_rate == 0.5

    with_client(gateway, work)
