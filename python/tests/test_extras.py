"""Downloads, temporary folders, retries."""

import asyncio
import hashlib
import http.server
import threading

import pytest
from luml_satellite_sdk.extras import download_file, retry, temp_directory
from satellite_sdk.errors import NotFoundError, SatelliteError

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def files():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/file":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("content-length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_reports_progress_and_its_hash(files, tmp_path):
    seen = []
    done = download_file(
        f"{files}/file", tmp_path / "model", progress=lambda *now: seen.append(now)
    )
    assert (tmp_path / "model").read_bytes() == CONTENT
    assert (done.bytes, done.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_not_what_was_expected_is_not_kept(files, tmp_path):
    with pytest.raises(SatelliteError, match="sha256"):
        download_file(f"{files}/file", tmp_path / "model", sha256="0" * 64, attempts=1)
    with pytest.raises(NotFoundError):
        download_file(f"{files}/none", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_progress_callback_can_end_the_download(files, tmp_path):
    def stop(now, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        download_file(f"{files}/file", tmp_path / "model", progress=stop)
    assert not (tmp_path / "model").exists()


def test_a_temporary_folder_is_private_and_removed():
    with temp_directory() as folder:
        (folder / "x").write_text("y")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_retry_returns_the_first_success_or_raises_the_last_error():
    calls = []

    @retry(attempts=3, delay=0.001)
    def work(successes_at):
        calls.append(1)
        if len(calls) < successes_at:
            raise ConnectionError(str(len(calls)))
        return len(calls)

    assert work(3) == 3
    calls.clear()
    with pytest.raises(ConnectionError, match="3"):
        work(9)

    @retry(attempts=2, delay=0.001, on=KeyError)
    def other():
        calls.append(1)
        raise ValueError

    calls.clear()
    with pytest.raises(ValueError):
        other()
    assert len(calls) == 1


def test_retry_of_an_async_function():
    calls = []

    @retry(attempts=2, delay=0.001)
    async def work():
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError
        return "done"

    assert asyncio.run(work()) == "done"
