"""Runs a real tritonserver for a test or a benchmark, and breaks it in the ways in which it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from grpc import RpcError, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.errors import Unavailable
from lepton_ai.local.programs.ports import UNIX
from lepton_ai.local.programs.triton import remove_leftovers

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0
_POLL_S = 0.05
_LOG_TAIL_BYTES = 2000


class LocalTriton:
    """A tritonserver of ours on a socket. Its models, log and backends lie in `run_directory`."""

    def __init__(self, run_directory: Path, socket: Path, *, otlp_http_address: str | None = None) -> None:
        """`socket` has a short path and a name that ends in `:NUMBER`."""
        self.run_directory = run_directory
        self.model_repository = run_directory / "models"
        self.log_path = run_directory / "triton.log"
        self.pid_file = run_directory / "triton.pid"
        self.address = f"{UNIX}{socket}"
        self._socket = socket
        self._otlp_http_address = otlp_http_address
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Process id of the running tritonserver. Raises Unavailable when there is none."""
        if self._process is None or self._process.returncode is not None:
            raise Unavailable("Triton does not run.")
        return self._process.pid

    async def start(self) -> None:
        """Start it on its socket, and wait until it is ready. Raises Unavailable with the end of its log."""
        self.run_directory.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "lepton_ai.local.programs.triton"),
            *("--run-directory", str(self.run_directory), "--model-repository", str(self.model_repository)),
            *("--socket", str(self._socket), "--pid-file", str(self.pid_file)),
        ]
        if self._otlp_http_address:
            command += ["--otlp-http-address", self._otlp_http_address]
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        await self._wait_until_ready()

    async def kill(self) -> None:
        """kill -9, stubs left behind as the kernel leaves them."""
        with contextlib.suppress(ProcessLookupError):  # it may have died this moment
            os.kill(self.pid, signal.SIGKILL)
        await self._gone()

    async def stop(self) -> None:
        """End it and everything that it started."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self._gone()
        await asyncio.to_thread(remove_leftovers, self.run_directory)

    def stubs(self, model: str) -> list[psutil.Process]:
        """The living processes that run a model, by its name in Triton, under which later loads are found as well."""
        found, name = [], re.compile(rf"{re.escape(model)}(-\d+)?_")
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if any(name.match(part) for part in child.cmdline()):
                    found.append(child)
        return found

    async def _gone(self) -> None:
        if self._process is not None:
            await self._process.wait()

    async def _wait_until_ready(self) -> None:
        async with aio.insecure_channel(self.address, options=[("grpc.max_reconnect_backoff_ms", 100)]) as channel:
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    while not await _is_serving(channel):
                        if self._process is None or self._process.returncode is not None:
                            raise self._not_started("ended")
                        await asyncio.sleep(_POLL_S)
            except TimeoutError:
                raise self._not_started("does not answer") from None

    def _not_started(self, what: str) -> Unavailable:
        tail = self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return Unavailable(
            f"Triton {what} at {self.address}. The end of its log: {tail}",
            reason="TRITON_NOT_STARTED",
            fix="Look into its log.",
        )


@contextlib.asynccontextmanager
async def running_triton(run_directory: Path, *, otlp_http_address: str | None = None) -> AsyncIterator[LocalTriton]:
    """A Triton that runs inside the `async with`, on a socket that it keeps when it is killed and started again."""
    folder = Path(tempfile.mkdtemp(prefix="lepton-triton-"))  # a test's own folder may be too deep for a socket
    triton = LocalTriton(run_directory, folder / "triton:1", otlp_http_address=otlp_http_address)
    try:
        await triton.start()
        yield triton
    finally:
        await triton.stop()
        shutil.rmtree(folder)


async def _is_serving(channel: aio.Channel) -> bool:
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)  # type: ignore[attr-defined]
    except RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
