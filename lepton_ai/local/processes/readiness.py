"""Asks a process whether it is ready to do its work: gRPC health or an HTTP page, never just an open port."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.local.processes.table import Process

_TIMEOUT_S = 1.0


def check_all(processes: Iterable[Process]) -> frozenset[str]:
    """The names of those processes that are ready, asked all at once."""
    processes = tuple(processes)
    if not processes:
        return frozenset()
    with ThreadPoolExecutor(max_workers=len(processes)) as pool:
        answers = pool.map(is_ready, processes)
        return frozenset(process.name for process, ready in zip(processes, answers, strict=True) if ready)


def is_ready(process: Process) -> bool:
    """Whether the process says, within a second, that it is ready."""
    host, _, port = process.address.rpartition(":")
    try:
        # A channel that meets a closed port waits a second before it looks again; a socket does not.
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S):
            pass
    except OSError:
        return False
    if process.readiness == "http":
        return _answers_page(host, int(port), process.ready_path)
    return _is_serving(process.address)


def _answers_page(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_serving(address: str) -> bool:
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
