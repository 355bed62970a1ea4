#!/usr/bin/env python3
"""Parses what a collector received by OTLP's published schema; an unknown field is an error.

    pip install opentelemetry-proto
    tests/otlp-schema.py FOLDER

Exit code 69 without the package.
"""

import base64
import json
import sys
from pathlib import Path

try:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )
except ImportError:
    sys.exit(69)

KINDS = {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest}


def with_base64_ids(value):
    """OTLP writes ids in hexadecimal, which is its one difference from protobuf's JSON."""
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if isinstance(value, dict):
        lengths = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
        result = {}
        for name, item in value.items():
            if name in lengths:
                raw = bytes.fromhex(item)
                assert len(raw) == lengths[name] and any(raw), (name, item)
                item = base64.b64encode(raw).decode()
            result[name] = with_base64_ids(item)
        return result
    return value


seen = dict.fromkeys(KINDS, 0)
for path in sorted(Path(sys.argv[1]).iterdir()):
    kind = path.stem.split("-")[1]
    document = with_base64_ids(json.loads(path.read_text()))
    message = json_format.ParseDict(document, KINDS[kind](), ignore_unknown_fields=False)
    seen[kind] += 1
    if kind == "metrics":
        for metric in message.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.histogram.data_points:
                buckets, bounds = len(point.bucket_counts), len(point.explicit_bounds)
                assert buckets in (0, bounds + 1) and sum(point.bucket_counts) in (0, point.count), metric
    else:
        for span in message.resource_spans[0].scope_spans[0].spans:
            assert span.end_time_unix_nano >= span.start_time_unix_nano > 0, span
print(seen)
assert all(seen.values()), seen
