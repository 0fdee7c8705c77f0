"""A real Prometheus for tests (Debian's package `prometheus`): filled by remote write, asked over HTTP."""

from __future__ import annotations

import asyncio
import re
import shutil
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lepton_ai.testing import eventually
from services.health.metrics.series import Series

_BATCH = 5000
_LISTENS = re.compile(r'msg="Listening on" address=(\S+)')


def installed() -> bool:
    """Whether there is a Prometheus here."""
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None


@dataclass
class LocalPrometheus:
    """A server at a free port."""

    http: httpx.AsyncClient

    async def write(self, series: Sequence[Series]) -> None:
        """Store samples, in the order of their times, as Prometheus wants them; marks of ended series included."""
        samples = sorted(
            (round(at * 1000), number, float(value))
            for number, each in enumerate(series)
            for at, value in zip(each.times_s, each.values, strict=True)
        )
        for begin in range(0, len(samples), _BATCH):
            body = b"".join(_time_series(series[n].labels, at, v) for at, n, v in samples[begin : begin + _BATCH])
            answer = await self.http.post("/api/v1/write", content=_snappy(body), headers=_WRITE_HEADERS)
            assert answer.status_code == 204, answer.text

    async def instant(self, expression: str, at_s: float | None = None) -> Mapping[str, Any]:
        """The API's answer; by default at its present."""
        at = {} if at_s is None else {"time": f"{at_s:.3f}"}
        answer = await self.http.post("/api/v1/query", data={"query": expression, **at})
        return dict(answer.json())

    async def range(self, expression: str, start_s: float, end_s: float, step_s: float) -> Mapping[str, Any]:
        """The API's answer."""
        data = {"query": expression, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:g}"}
        answer = await self.http.post("/api/v1/query_range", data=data)
        return dict(answer.json())

    async def get(self, path: str, **parameters: str) -> Any:
        """The `data` of another answer of the API."""
        answer = await self.http.get(f"/api/v1/{path}", params=parameters)
        return answer.json()["data"]


@asynccontextmanager
async def running_prometheus(directory: Path, configuration: str = "global: {}\n") -> AsyncIterator[LocalPrometheus]:
    """A server with its data in the folder."""
    file, log = directory / "prometheus.yml", directory / "prometheus.log"
    file.write_text(configuration, encoding="utf-8")
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--web.enable-remote-write-receiver",
            "--storage.tsdb.retention.time=100y",
            stdout=output,
            stderr=output,
        )
    try:
        address = await eventually(lambda: _address(log), timeout_s=30, description="Prometheus is ready")
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30, trust_env=False) as http:
            yield LocalPrometheus(http)
    finally:
        process.terminate()
        await process.wait()


def _address(log: Path) -> str:
    """Where it listens, once it is ready; else ""."""
    said = log.read_text()
    found = _LISTENS.search(said)
    return found[1] if found and "ready to receive" in said else ""


_WRITE_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def _time_series(labels: Mapping[str, str], at_ms: int, value: float) -> bytes:
    """A field `timeseries` of the message WriteRequest, with one sample."""
    texts = b"".join(_field(1, _text(1, name) + _text(2, labels[name])) for name in sorted(labels) if labels[name])
    sample = b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms)
    return _field(1, texts + _field(2, sample))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _snappy(content: bytes) -> bytes:
    """Snappy's format without compressing anything: literals of at most 64 KiB."""
    pieces = [content[begin : begin + 65_536] for begin in range(0, len(content), 65_536)]
    return _varint(len(content)) + b"".join(b"\xf4" + struct.pack("<H", len(piece) - 1) + piece for piece in pieces)
