"""What signatures cost beside hashing the same bytes, which a package needs in any case."""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import Report
from lepton_ai.package import Package
from lepton_ai.signing import bundles
from lepton_ai.signing.keys import SigningKey, TrustedKeys, create_keys
from lepton_ai.signing.policy import verify_version
from tests.sample_packages import onnx_package

_ROUNDS = 5
_SHAPES = ((1, 1 << 30), (32, 32 << 20), (900, 1 << 18))
"""Files, and bytes of each."""


def measure() -> list[Report]:
    """Hash, sign and verify packages of few large and of many small files, in turns."""
    rows = []
    for count, size_bytes in _SHAPES:
        with tempfile.TemporaryDirectory(prefix="lepton-signing-") as directory:
            rows.append(_row(Path(directory), count, size_bytes))
    note = (
        f"Medians of {_ROUNDS} rounds, files in the page cache. Hash: `hashlib` alone. Read: a package, which "
        "hashes it. Sign: read and sign. Verify: read and verify. Over: signing and verifying, over twice that."
    )
    columns = ("files", "MiB", "hash s", "read s", "sign s", "verify s", "over hash", "over read", "signature KiB")
    return [Report("Signatures", columns, rows, note)]


def _row(directory: Path, count: int, size_bytes: int) -> tuple[str, ...]:
    private, public = create_keys(directory / "key")
    key, trusted = SigningKey(private), TrustedKeys((public,))
    folder = directory / "package"
    onnx_package(folder)
    for number in range(count):
        with (folder / f"part-{number}.bin").open("wb") as file:
            for _ in range(0, size_bytes, 1 << 18):
                file.write(os.urandom(1 << 18))
    bundle = bundles.sign(Package.read(folder).manifest(), 1, key)  # loads the library
    seconds: dict[str, list[float]] = {"hash": [], "read": [], "sign": [], "verify": []}
    for _ in range(_ROUNDS):
        seconds["hash"].append(_timed(lambda: _hash(folder)))
        seconds["read"].append(_timed(lambda: Package.read(folder)))
        seconds["sign"].append(_timed(lambda: bundles.sign(Package.read(folder).manifest(), 1, key)))
        seconds["verify"].append(
            _timed(lambda: verify_version("doubler", 1, Package.read(folder).manifest(), bundle, trusted))
        )
    hashed, read, signed, verified = (statistics.median(each) for each in seconds.values())
    return (
        str(count),
        str(count * size_bytes >> 20),
        f"{hashed:.3f}",
        f"{read:.3f}",
        f"{signed:.3f}",
        f"{verified:.3f}",
        f"{(signed + verified) / (2 * hashed):.2f}",
        f"{(signed + verified) / (2 * read):.2f}",
        f"{len(bundle) / 1024:.0f}",
    )


def _hash(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def _timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
