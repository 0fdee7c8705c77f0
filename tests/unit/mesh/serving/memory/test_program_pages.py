from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import numpy
from lepton_ai.mesh.serving.memory.program_pages import unmap_code

def mapped_kb():
    total, code = 0, False
    for line in open("/proc/self/smaps"):
        if line[0] in "0123456789abcdef":
            code = line.split()[1] == "r-xp"
        elif code and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total

before = mapped_kb()
assert unmap_code()
print(before, mapped_kb(), numpy.arange(10).sum())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels count a process's memory in other ways")
def test_code_that_only_starting_used_is_no_longer_counted_and_what_is_needed_comes_back() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=30, check=True)
    before_kb, after_kb, total = map(int, done.stdout.split())
    assert after_kb < before_kb * 0.7
    assert total == 45
