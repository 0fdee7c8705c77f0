"""`python -m lepton_ai.mesh.health_check [HOST:PORT]`: exits with 0 when that process is ready; for containers.

A container engine runs this every few seconds in every container, so it does without protobuf, which costs more to
import than gRPC.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import grpc

_TIMEOUT_S = 2.0
_CHECK = "/grpc.health.v1.Health/Check"
_WHOLE_PROCESS = b""
"""A HealthCheckRequest without a service name."""
_SERVING = b"\x08\x01"
"""A HealthCheckResponse: field 1, status, is 1."""


def is_serving(address: str, *, timeout_s: float = _TIMEOUT_S) -> bool:
    """Ask grpc.health.v1 for the process as a whole."""
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        check: Any = channel.unary_unary(_CHECK)  # the stubs' types do not know calls without serializers
        try:
            answer = check(_WHOLE_PROCESS, timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(answer == _SERVING)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else f"127.0.0.1:{os.environ.get('LEPTON_PORT', '8500')}"
    sys.exit(0 if is_serving(chosen) else 1)
