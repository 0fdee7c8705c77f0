"""What a call costs a service that does nothing, on each transport of a public port."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.empty_service import SERVICE
from benchmarks.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, call_headers, frame, frames, greeting, message
from benchmarks.report import Report

_TRANSPORTS = ("grpc", "pyvoy")
_ROUNDS = 3
_AT_ONCE = 64
_MESSAGE = message(b"x" * 80)


@dataclass(frozen=True)
class _Cost:
    """µs of the service's CPU, and how many a second it answered."""

    us: float
    per_s: float


class _Connection:
    """An HTTP/2 client that costs next to nothing: it counts frames and understands none."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self._stream = -1

    @classmethod
    async def open(cls, address: str) -> _Connection:
        host, _, port = address.rpartition(":")
        made = cls(*await asyncio.open_connection(host, int(port)))
        made._writer.write(greeting())
        return made

    async def calls(self, count: int) -> None:
        """Unary calls, `_AT_ONCE` of them at any time."""
        headers = call_headers(f"/{SERVICE}/Unary", timeout="60S")
        asked = answered = 0
        while answered < count:
            new = min(_AT_ONCE - (asked - answered), count - asked)
            self._writer.write(b"".join(self._call(headers) for _ in range(new)))
            asked += new
            answered += sum(1 for kind, flags, _ in await self._frames() if kind == HEADERS and flags & END_STREAM)

    async def messages(self, count: int) -> None:
        """Messages of one stream, `_AT_ONCE` of them under way."""
        self._stream += 2
        stream = self._stream
        self._writer.write(frame(HEADERS, END_HEADERS, stream, call_headers(f"/{SERVICE}/Stream", timeout="60S")))
        sent = read_bytes = 0
        while read_bytes < count * len(_MESSAGE):
            new = min(_AT_ONCE - (sent - read_bytes // len(_MESSAGE)), count - sent)
            self._writer.write(frame(DATA, 0, stream, _MESSAGE) * new)
            sent += new
            read_bytes += sum(size for kind, _, size in await self._frames() if kind == DATA)

    def close(self) -> None:
        self._writer.close()

    def _call(self, headers: bytes) -> bytes:
        self._stream += 2
        head = frame(HEADERS, END_HEADERS, self._stream, headers)
        return head + frame(DATA, END_STREAM, self._stream, _MESSAGE)

    async def _frames(self) -> list[tuple[int, int, int]]:
        """(type, flags, size) of each frame that has come."""
        data = self._rest + await self._reader.read(1 << 18)
        found, position = [], 0
        for kind, flags, _, begin, position in frames(data):
            found.append((kind, flags, position - begin))
        self._rest = data[position:]
        return found


def measure(*, seconds: float) -> list[Report]:
    """Both transports in turn, in rounds; about `seconds` for each measurement."""
    calls, messages = int(3000 * seconds), int(8000 * seconds)
    rounds = [[asyncio.run(_measure(name, calls, messages)) for name in _TRANSPORTS] for _ in range(_ROUNDS)]
    rows = []
    for kind, label in enumerate(("call", "message of a stream")):
        for index, name in enumerate(_TRANSPORTS):
            costs = [each[index][kind] for each in rounds]
            ratios = [each[index][kind].us / each[0][kind].us for each in rounds]
            us, per_s = (statistics.median(values) for values in zip(*((c.us, c.per_s) for c in costs), strict=True))
            rows.append([f"{name}: {label}", f"{us:.0f}", f"{statistics.median(ratios):.2f}", f"{per_s:,.0f}"])
    note = "CPU of the service's process through all layers, untraced; 64 at once. Ratio: median of 3 rounds."
    return [Report("Transports", ("80 bytes in and out", "µs of CPU", "ratio", "per s"), rows, note)]


async def _measure(transport: str, calls: int, messages: int) -> tuple[_Cost, _Cost]:
    with _service(transport) as (process, address):
        connection = await _Connection.open(address)
        await connection.calls(1000)
        cost = (
            await _cost(process, connection.calls(calls), calls),
            await _cost(process, connection.messages(messages), messages),
        )
        connection.close()
        return cost


async def _cost(process: psutil.Process, work: Awaitable[None], count: int) -> _Cost:
    loop = asyncio.get_running_loop()
    before, begin_s = process.cpu_times(), loop.time()
    await work
    after, end_s = process.cpu_times(), loop.time()
    used_s = after.user + after.system - before.user - before.system
    return _Cost(used_s / count * 1e6, count / (end_s - begin_s))


@contextmanager
def _service(transport: str) -> Iterator[tuple[psutil.Process, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.empty_service"],
        env={**os.environ, "LEPTON_TRANSPORT": transport},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield psutil.Process(process.pid), process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.kill()
        process.communicate()
