"""`python -m lepton_ai.mesh.health_check [HOST:PORT]`: ends with 0 when the process there is ready; for containers."""

from __future__ import annotations

import os
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_TIMEOUT_S = 2.0


def is_serving(address: str, *, timeout_s: float = _TIMEOUT_S) -> bool:
    """Ask grpc.health.v1 for the process as a whole."""
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else f"127.0.0.1:{os.environ.get('LEPTON_PORT', '8500')}"
    sys.exit(0 if is_serving(chosen) else 1)
