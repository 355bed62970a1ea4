"""A scripted SkyPilot API server: requests with ids and records, like those of the real one.

The Rust crate has its mock among its tests; this one follows the same measurements.
"""

import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

OPTIMIZE_LOG = (
    "Considered resources (1 node):\r\n"
    "----------------------------------------------------------------------\r\n"
    " INFRA             INSTANCE    vCPUs  Mem(GB)  GPUS    COST ($)  CHOSEN\r\n"
    " AWS (us-east-1)   g5.4xlarge  16     64       A10G:1  1.62      \x1b[32m   \u2714\x1b[0m\r\n"
)


class FakeSkyPilot:
    """`returns[path]` is the value of a request, `fails[path]` its error."""

    def __init__(self):
        self.returns = {
            "/launch": {"job_id": 1, "handle": "gAROLg=="},
            "/exec": {"job_id": 7, "handle": None},
            "/status": [],
            "/list_accelerators": {
                "A10G": [["AWS", "g5.4xlarge", "A10G", 1, 16, None, 64, 1.624, 0.65, "us-east-1"]]
            },
        }
        self.fails = {}
        self.log = ""
        self.calls = []
        self.records = {}
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                fake.answer(self, None)

            def do_POST(self):
                length = int(self.headers.get("content-length", 0))
                fake.answer(self, json.loads(self.rfile.read(length) or b"null"))

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def cluster(self, name, **fields):
        self.returns["/status"] = [
            {"name": name, "status": "UP", "cloud": "AWS", "region": "us-east-1", **fields}
        ]

    def bodies(self, path):
        return [body for called, body in self.calls if called == path]

    def answer(self, request, body):
        split = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.calls.append((split.path, body))
        headers, status = {"x-skypilot-api-version": "62"}, 200
        request_id = query.get("request_id") or query.get("request_ids")
        if split.path == "/api/health":
            value = {"status": "healthy", "api_version": "62", "version": "0.14.1"}
        elif split.path == "/api/status":
            value = [self.records[request_id]] if request_id in self.records else []
        elif split.path == "/api/get":
            value = self.records[request_id]
            if value["status"] == "FAILED":
                status, value = 500, {"detail": value}
        elif split.path == "/api/stream":
            value = self.log or OPTIMIZE_LOG
        elif split.path == "/validate":
            value = None
        else:
            headers["x-skypilot-request-id"] = self.submit(split.path)
            value = self.log if split.path == "/logs" else None
        content = value if isinstance(value, str) else json.dumps(value)
        request.send_response(status)
        for name, text in headers.items():
            request.send_header(name, text)
        request.send_header("content-length", str(len(content.encode())))
        request.end_headers()
        request.wfile.write(content.encode())

    def submit(self, path):
        request_id = f"id-{len(self.records)}"
        error = self.fails.get(path)
        value = 0 if path == "/logs" else self.returns.get(path)
        self.records[request_id] = {
            "request_id": request_id,
            "name": f"sky.{path[1:]}",
            "status": "FAILED" if error else "SUCCEEDED",
            "return_value": json.dumps(value),
            "error": json.dumps(error),
            "created_at": 1.0,
        }
        return request_id
