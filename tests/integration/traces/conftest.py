"""A real trace store process on free ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lepton_ai.testing import eventually

_READY = re.compile(r"ready: http=(\S+) grpc=(\S+) otlp_http=(\S+)")
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0


@dataclass
class RunningStore:
    """A store process and where it listens."""

    process: subprocess.Popen[bytes]
    log: Path
    http: str = ""
    grpc: str = ""
    otlp_http: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(_STOP_TIMEOUT_S)


StartStore = Callable[..., Awaitable[RunningStore]]


def launch(tmp_path: Path, **settings: object) -> RunningStore:
    """Start a process; it may not be ready yet."""
    log = tmp_path / f"store-{len(list(tmp_path.glob('store-*')))}.log"
    chosen = {"DB": tmp_path / "traces.db", "HTTP_PORT": 0, "GRPC_PORT": 0, **settings}
    environment = {**os.environ, **{f"LEPTON_TRACES_{name}": str(value) for name, value in chosen.items()}}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lepton_ai.traces"], env=environment, stdout=output, stderr=output
        )
    return RunningStore(process, log)


@pytest.fixture
async def start_store(tmp_path: Path) -> AsyncIterator[StartStore]:
    started: list[RunningStore] = []

    async def start(**settings: object) -> RunningStore:
        store = launch(tmp_path, **settings)
        started.append(store)

        def addresses() -> re.Match[str] | None:
            text = store.log.read_text()
            assert store.process.poll() is None, text
            return _READY.search(text)

        match = await eventually(addresses, timeout_s=_START_TIMEOUT_S, description="the trace store is ready")
        assert match is not None
        store.http, store.grpc, store.otlp_http = match.groups()
        return store

    yield start
    for store in started:
        if store.process.poll() is None:
            store.stop(signal.SIGKILL)
