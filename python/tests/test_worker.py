"""Workers of the LUML platform: handlers, results, settings."""

import dataclasses
import logging
from typing import TypedDict

import luml_satellite_sdk
import pytest
from luml_satellite_sdk import Failure, PlatformClient, SatelliteSDK, SatelliteSDKSettings
from luml_satellite_sdk.testing import mock_task
from pydantic import BaseModel
from satellite_sdk.errors import AuthenticationError, SettingsError


def run(platform, function, payload=None, **settings):
    """Runs one task through a handler. Returns its status and result."""
    task_id = platform.add_task(mock_task("t-1", "work", payload or {}))
    platform.worker({"work": function}, **settings).run_until_idle()
    return platform.status(task_id), platform.result(task_id)


def test_what_a_handler_returns_is_the_result(platform):
    def work(task_id, payload, client):
        return {"id": task_id, "twice": payload["n"] * 2}

    assert run(platform, work, {"n": 4}) == ("done", {"id": "t-1", "twice": 8})


def test_a_handler_may_report_the_task_itself(platform):
    def work(task_id, payload, client):
        client.update_task_status(task_id, "failed", "not today")

    assert run(platform, work) == ("failed", {"reason": "not today", "error": "not today"})
    assert platform.history("t-1") == ["running", "failed"]


def test_the_specs_word_completed_means_done(platform):
    def work(task_id, payload, client):
        client.update_task_status(task_id, "completed")

    assert run(platform, work)[0] == "done"


def test_an_exception_fails_the_task_and_the_worker_continues(platform):
    def work(task_id, payload, client):
        if payload["n"] == 0:
            raise ZeroDivisionError("by nothing")
        return payload["n"]

    platform.add_task(mock_task("t-0", "work", {"n": 0}, created_at="2026-01-01T00:00:00Z"))
    assert run(platform, work, {"n": 5}) == ("done", {"result": 5})
    failed = platform.result("t-0")
    assert failed == {"reason": "by nothing", "error": "ZeroDivisionError: by nothing"}


def test_a_failure_names_reason_and_error(platform):
    def work(task_id, payload, client):
        raise Failure("no image", "pull of x: 404")

    expected = {"reason": "no image", "error": "pull of x: 404"}
    assert run(platform, work) == ("failed", expected)


def test_a_result_that_is_not_json_fails_the_task_with_its_path(platform):
    def work(task_id, payload, client):
        return {"rows": [1, {2, 3}]}

    status, result = run(platform, work)
    assert (status, result["error"]) == ("failed", "rows[1]: set is not JSON")


def test_async_handlers_share_one_loop(platform):
    import asyncio

    loops = []

    async def work(task_id, payload, client):
        await asyncio.sleep(0.001)
        loops.append(asyncio.get_running_loop())
        return len(loops)

    platform.add_task(mock_task("t-0", "work", {}))
    assert run(platform, work)[0] == "done"
    assert len(loops) == 2 and loops[0] is loops[1]


@dataclasses.dataclass
class Model:
    name: str
    layers: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Deploy:
    deployment_id: str
    model: Model
    replicas: int | None = None


class Typed(TypedDict):
    deployment_id: str


class DeployPayload(BaseModel):
    deployment_id: str
    replicas: int = 1


def test_a_dataclass_payload_is_built_with_its_parts(platform):
    seen = []

    def work(task_id: str, payload: Deploy, client: PlatformClient) -> None:
        seen.append(payload)

    given = {"deployment_id": "d", "model": {"name": "m", "layers": [1]}, "new": True}
    assert run(platform, work, given)[0] == "done"
    assert seen == [Deploy("d", Model("m", [1]), None)]


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({}, "payload.deployment_id: is missing"),
        ({"deployment_id": "d"}, "payload.model: is missing"),
        ({"deployment_id": "d", "model": []}, "payload.model: expected dict, found list"),
        (
            {"deployment_id": "d", "model": {"name": "m", "layers": ["x"]}},
            "payload.model.layers[0]: expected int, found str",
        ),
    ],
)
def test_a_payload_that_does_not_fit_fails_the_task_before_the_handler(platform, payload, error):
    def work(task_id: str, payload: Deploy, client: PlatformClient) -> None:
        raise AssertionError("called")

    assert run(platform, work, payload) == (
        "failed",
        {"reason": "the payload does not fit", "error": error},
    )


def test_a_typed_dict_is_checked_and_stays_a_dict(platform):
    def work(task_id: str, payload: Typed, client: PlatformClient) -> dict:
        return payload

    given = {"deployment_id": "d", "new": 1}
    assert run(platform, work, given) == ("done", given)
    platform.add_task(mock_task("t-2", "work", {"deployment_id": 7}))
    platform.worker({"work": work}).run_until_idle()
    assert platform.result("t-2")["error"] == "payload.deployment_id: expected str, found int"


def test_a_pydantic_model_validates_and_is_a_result(platform):
    def work(task_id: str, payload: DeployPayload, client: PlatformClient) -> DeployPayload:
        return payload

    assert run(platform, work, {"deployment_id": "d"}) == (
        "done",
        {"deployment_id": "d", "replicas": 1},
    )
    platform.add_task(mock_task("t-2", "work", {"replicas": 2}))
    platform.worker({"work": work}).run_until_idle()
    assert platform.result("t-2")["error"] == "payload.deployment_id: Field required"


def test_a_handler_receives_the_client_class_that_it_names(platform):
    class Mine(PlatformClient):
        def names(self):
            return [d["name"] for d in self.get("/satellites/v1/deployments").json()]

    platform.add_deployment({"id": "d-1", "name": "iris"})

    def work(task_id: str, payload: dict, client: Mine) -> list:
        return client.names()

    assert run(platform, work) == ("done", {"result": ["iris"]})


def test_a_handler_may_ask_for_the_context(platform):
    def work(task_id, payload, client, context):
        assert not context.is_stopping() and context.sleep(0.001)
        return context.task_id

    assert run(platform, work) == ("done", {"result": "t-1"})


def test_log_records_have_the_id_of_their_task(platform, caplog):
    caplog.set_level(logging.INFO)

    def work(task_id, payload, client):
        logging.getLogger("mine").info("hello")

    run(platform, work)
    hello = next(record for record in caplog.records if record.message == "hello")
    assert hello.task_id == "t-1"
    names = {record.name for record in caplog.records}
    assert "luml_satellite_sdk" in names  # the lines of the core


def test_a_log_line_of_the_platforms_text_cannot_forge_another(platform, caplog):
    caplog.set_level(logging.INFO)

    def work(task_id, payload, client):
        raise Failure("x\n2026 INFO all is well")

    run(platform, work)
    core = [record for record in caplog.records if record.pathname == "(satellite-sdk)"]
    assert core and not any("\n" in record.message for record in core)


def test_run_without_handlers_names_the_problem(monkeypatch, platform, worker_env):
    for name, value in worker_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(luml_satellite_sdk.sdk, "_REGISTRY", {})
    with pytest.raises(SystemExit) as ended:
        luml_satellite_sdk.run()
    assert ended.value.code == 78
    assert "no handler" in str(ended.value.__cause__)


def test_a_rejected_token_ends_the_worker_with_77(platform):
    worker = platform.worker({"work": print})
    platform.revoke()
    with pytest.raises(AuthenticationError) as error:
        worker.run()
    assert error.value.is_refused_token and error.value.status == 401
    with pytest.raises(SystemExit) as ended:
        luml_satellite_sdk.run(
            platform_url=platform.url, satellite_token="wrong", health_enabled=False
        )
    assert ended.value.code in (77, 78)


def test_all_wrong_settings_are_named_together(monkeypatch):
    monkeypatch.setenv("LUML_POLL_INTERVAL_SEC", "soon")
    monkeypatch.setenv("LUML_PLATFORM_URL", "platform.example")
    with pytest.raises(SettingsError) as error:
        SatelliteSDKSettings()
    for name in ("LUML_SATELLITE_TOKEN", "LUML_POLL_INTERVAL_SEC", "LUML_PLATFORM_URL"):
        assert name in str(error.value)


def test_settings_have_the_names_and_defaults_of_the_spec(monkeypatch):
    monkeypatch.setenv("LUML_SATELLITE_TOKEN", "hush-hush")
    monkeypatch.setenv("LUML_SUPPORTED_TASK_TYPES", "deploy, undeploy")
    settings = SatelliteSDKSettings()
    assert settings.platform_url == "https://api.luml.ai"
    assert (settings.poll_interval_sec, settings.max_backoff_sec) == (2, 60)
    assert settings.supported_task_types == ["deploy", "undeploy"]
    assert (settings.health_port, settings.health_enabled) == (8080, True)
    assert settings.base_url is None
    assert settings.satellite_token == "hush-hush"
    assert "hush" not in repr(settings)
    assert SatelliteSDKSettings(poll_interval_sec=0.5).poll_interval_sec == 0.5


def test_the_health_server_reports_the_worker(platform):
    import urllib.request

    seen = []
    worker = platform.worker(
        {"work": lambda *_: seen.append(get("/readyz"))}, health_enabled=True, health_port=0
    )

    def get(path):
        with urllib.request.urlopen(f"http://{worker.health_address}{path}", timeout=30) as reply:
            return reply.status

    platform.add_task(mock_task("t-1", "work", {}))
    assert get("/healthz") == 200
    worker.run_until_idle()
    assert seen == [200]


def test_a_worker_with_a_base_url_registers(platform):
    worker = platform.worker(
        {"deploy": print},
        base_url="http://edge.example",
        capabilities={"deploy": {"version": 1, "supported_variants": ["pyfunc"]}},
    )
    worker.run_until_idle()
    assert platform.satellite()["capabilities"]["deploy"]["supported_variants"] == ["pyfunc"]


def test_unknown_settings_and_doubled_handlers_are_errors():
    with pytest.raises(TypeError, match="unknown setting: pol_interval"):
        SatelliteSDK(handlers={}, pol_interval=1)
    with pytest.raises(TypeError, match="write @handler"):
        luml_satellite_sdk.handler(print)


def test_run_on_another_thread_ends_by_stop(platform):
    import threading

    worker = platform.worker({"work": lambda *_: worker.stop()})
    thread = threading.Thread(target=worker.run)
    thread.start()
    platform.add_task(mock_task("t-1", "work", {}))
    thread.join(60)
    assert not thread.is_alive()
