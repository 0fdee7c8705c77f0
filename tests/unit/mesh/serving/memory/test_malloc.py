"""A process that keeps freed memory does not fault it in again for every message, and can give it back."""

import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
from lepton_ai.mesh.serving.memory.malloc import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("no mallopt")
def allocate():
    parts = [bytes(150_000) for _ in range(8)]  # one message of several tensors
for _ in range(5):
    allocate()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    allocate()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 50)
"""


def _faults_per_message(mode: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS, mode], capture_output=True, text=True, timeout=30, check=False
    )
    if "no mallopt" in done.stderr:
        pytest.skip("the C library has no mallopt")
    return float(done.stdout)


def test_that_memory_is_kept_when_asked_to() -> None:
    assert _faults_per_message("keep") < 5
    assert _faults_per_message("as usual") > 50


_RESIDENT = """
import os, resource, sys
from pathlib import Path
from lepton_ai.mesh.serving.memory.malloc import give_back_freed_memory, keep_freed_memory
def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
if not keep_freed_memory():
    sys.exit("no mallopt")
parts = [b"x" * (1 << 20) for _ in range(24)]
held_mib = resident_mib()
del parts
kept_mib = resident_mib()
give_back_freed_memory()
print(held_mib - kept_mib, held_mib - resident_mib())
"""


def test_that_what_is_kept_can_be_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _RESIDENT], capture_output=True, text=True, timeout=30, check=False)
    if "no mallopt" in done.stderr:
        pytest.skip("the C library has no mallopt")
    freed_mib, given_back_mib = (float(figure) for figure in done.stdout.split())
    assert freed_mib < 4
    assert given_back_mib > 20
