"""CPU time that the platform's processes use."""

from __future__ import annotations

import psutil

from lepton_ai.local.processes.supervision import find_members
from tests.platform import Platform


def cpu_seconds(platform: Platform) -> float:
    """User and system time of all processes of the platform so far, Triton's stubs included."""
    total = 0.0
    for member in find_members(platform.state.stack_id):
        times = psutil.Process(member.pid).cpu_times()
        total += times.user + times.system
    return total
