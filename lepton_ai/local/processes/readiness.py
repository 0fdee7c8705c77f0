"""Asks a process whether it is ready to do its work: gRPC health or an HTTP page, never just an open port."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.local.processes.table import Process
from lepton_ai.local.programs.ports import UNIX

_TIMEOUT_S = 1.0


def check_all(processes: Iterable[Process]) -> frozenset[str]:
    """The names of those processes that are ready, asked all at once."""
    processes = tuple(processes)
    if not processes:
        return frozenset()
    with ThreadPoolExecutor(max_workers=len(processes)) as pool:
        answers = pool.map(is_ready, processes)
        return frozenset(process.name for process, ready in zip(processes, answers, strict=True) if ready)


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Called by http.client."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            channel.settimeout(self.timeout)
            channel.connect(self._path)
        except OSError:
            channel.close()
            raise
        self.sock = channel


def is_ready(process: Process) -> bool:
    """Whether the process, or each of its workers, says within a second that it is ready."""
    return all(_is_ready_at(address, process) for address in process.worker_addresses or (process.address,))


def _is_ready_at(address: str, process: Process) -> bool:
    connection = _connection(address)
    try:
        # A channel that meets a closed port waits a second before it looks again; a socket does not.
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    if process.readiness == "http":
        return _answers_page(connection, process.ready_path)
    return _is_serving(address)


def _connection(address: str) -> http.client.HTTPConnection:
    if address.startswith(UNIX):
        return SocketConnection(address.removeprefix(UNIX), _TIMEOUT_S)
    return http.client.HTTPConnection(address, timeout=_TIMEOUT_S)


def _answers_page(connection: http.client.HTTPConnection, path: str) -> bool:
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
