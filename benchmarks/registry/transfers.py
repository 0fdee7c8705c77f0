"""A push and a pull beside copying and hashing the same bytes on the same disk, and the memory that they take."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.report import Report
from lepton_ai import AsyncClient
from lepton_ai.addresses import Addresses
from tests.integration.registry.process import registry_process
from tests.sample_packages import onnx_package

_ROUNDS = 3
_CHUNK_BYTES = 1 << 20
_BIG = "weights.bin"


@dataclass
class _Seen:
    """What was measured, in seconds and bytes."""

    times_s: dict[str, list[float]] = field(default_factory=lambda: {"copy": [], "push": [], "pull": []})
    growth_bytes: dict[str, int] = field(default_factory=lambda: {"client": 0, "registry": 0})

    async def take(self, what: str, work: Awaitable[object], spare: Path, size_bytes: int) -> None:
        """Do it and keep how long it took. A spare file is written and deleted before: a virtual machine is given the
        memory for its disk's cache when it is first used, which would count for whoever comes first."""
        await asyncio.to_thread(write_random, spare, size_bytes)
        await asyncio.to_thread(spare.unlink)
        begun_s = time.monotonic()
        await work
        self.times_s[what].append(time.monotonic() - begun_s)


def measure(directory: Path, *, gigabytes: float) -> list[Report]:
    """Push and pull a package of so many GB, in turn with a copy. `directory` needs room for three times as much."""
    size_bytes, seen = round(gigabytes * 1e9), _Seen()
    for number in range(_ROUNDS):
        place = directory / str(number)
        place.mkdir()
        asyncio.run(_round(place, size_bytes, seen))
        shutil.rmtree(place)
    return [_report(size_bytes, seen)]


async def _round(place: Path, size_bytes: int, seen: _Seen) -> None:
    package = onnx_package(place / "package").directory
    write_random(package / _BIG, size_bytes)
    spare = place / "spare"
    await seen.take("copy", asyncio.to_thread(copy_and_hash, package / _BIG, place / "copy"), spare, size_bytes)
    (place / "copy").unlink()
    limits = {"max_file_bytes": str(size_bytes + 1), "max_package_bytes": str(2 * size_bytes)}
    async with (
        registry_process(place / "data", **limits) as registry,
        AsyncClient(Addresses(registry=registry.address)) as client,
        _watched(registry.process.pid, "registry", seen),
        _watched(os.getpid(), "client", seen),
    ):
        await seen.take("push", client.push(package), spare, size_bytes)
        await seen.take("pull", client.download("doubler", _BIG, place / "pulled"), spare, size_bytes)


def write_random(path: Path, size_bytes: int) -> None:
    """A file that no other one is equal to."""
    chunk = bytearray(os.urandom(_CHUNK_BYTES))
    with path.open("wb") as file:
        for number in range(0, size_bytes, _CHUNK_BYTES):
            chunk[:8] = number.to_bytes(8, "big")
            file.write(chunk[: size_bytes - number])
        file.flush()
        os.fsync(file.fileno())


def copy_and_hash(source: Path, target: Path) -> str:
    """Read, hash, write and sync: what a push or a pull does at least."""
    digest = hashlib.sha256()
    with source.open("rb") as content, target.open("wb") as copy:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()


@asynccontextmanager
async def _watched(pid: int, name: str, seen: _Seen) -> AsyncIterator[None]:
    """Look at the memory of a process all the time."""
    process = psutil.Process(pid)
    before = process.memory_info().rss

    async def look() -> None:
        while True:
            grown = process.memory_info().rss - before
            seen.growth_bytes[name] = max(seen.growth_bytes[name], grown)
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()


def _report(size_bytes: int, seen: _Seen) -> Report:
    copied_s = statistics.median(seen.times_s["copy"])
    rows = []
    for name, times_s in seen.times_s.items():
        median_s = statistics.median(times_s)
        rows.append([name, f"{median_s:.2f}", f"{size_bytes / median_s / 1e6:.0f}", f"{copied_s / median_s:.2f}"])
    memory = ", ".join(f"{name} {grown / 1e6:.0f} MB" for name, grown in seen.growth_bytes.items())
    return Report(
        f"Transfers of {size_bytes / 1e9:g} GB",
        ("what", "seconds", "MB/s", "of the copy's speed"),
        rows,
        f"Median of {_ROUNDS}. A copy is read, hashed, written and synced. Memory grew by at most: {memory}.",
    )
