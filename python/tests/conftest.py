"""What all tests share."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from luml_satellite_sdk.testing import MockPlatform

#: Generous: the machine may be under heavy load.
LIMIT = 60.0


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Tests do not depend on the variables of the machine."""
    for name in list(os.environ):
        if name.startswith(("LUML_", "FAAS_", "BASILICA_", "SKYPILOT_", "DORY_")):
            monkeypatch.delenv(name)


@pytest.fixture
def platform():
    return MockPlatform()


class Program:
    """A Python program of a test, in a process of its own."""

    def __init__(self, text, folder, env=None, args=()):
        self.path = folder / f"program-{time.monotonic_ns()}.py"
        self.path.write_text(textwrap.dedent(text))
        self.errors = self.path.with_suffix(".log")
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(self.path), *args],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=self.errors.open("w"),
            text=True,
            # A shell may have started the tests with SIGINT ignored, which is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def line(self):
        """The next line that it prints."""
        return self.process.stdout.readline().strip()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Waits for its end. Returns its exit code and both outputs."""
        out, _ = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, self.errors.read_text()


@pytest.fixture
def program(tmp_path):
    started = []

    def start(text, env=None, args=()):
        started.append(Program(text, tmp_path, env, args))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.fixture
def worker_env(platform):
    return {
        "LUML_SATELLITE_TOKEN": platform.token,
        "LUML_PLATFORM_URL": platform.url,
        "LUML_POLL_INTERVAL_SEC": "0.05",
        "LUML_HEALTH_ENABLED": "false",
    }


def wait_until(condition, limit=LIMIT):
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.02)
    return found
