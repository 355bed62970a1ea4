"""The examples of the README."""

import re
from pathlib import Path

from luml_satellite_sdk.testing import mock_task

README = Path(__file__).parents[1] / "README.md"


def examples():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_first_example_runs_as_a_program(program, platform, worker_env):
    platform.add_task(mock_task("t-1", "greet", {"name": "Ada"}))
    one = program(examples()[0], env=worker_env)
    assert platform.wait_for("t-1", "done", 60)
    assert platform.result("t-1") == {"result": "Hello, Ada"}
    one.signal(15)
    assert one.end()[0] == 0


def test_the_other_examples_of_workers(monkeypatch):
    from luml_satellite_sdk import handlers

    monkeypatch.setattr(handlers, "_REGISTRY", {})
    names = {"__name__": "examples"}
    exec(examples()[0].replace("run()  #", "#"), names)
    exec(examples()[1], names)
    exec(examples()[2], names)
    names["test_greet"]()


def test_the_examples_of_clients_compile():
    compile(examples()[3], "README", "exec")
