"""CPU time and memory that the platform's processes use."""

from __future__ import annotations

import psutil

from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import Supervisor, find_members
from lepton_ai.local.processes.table import part_of
from tests.platform import Platform

_FOUR_SERVICES = ("registry", "preprocess", "inference", "health")


def cpu_seconds(platform: Platform) -> float:
    """User and system time of all processes of the platform so far, Triton's stubs included."""
    total = 0.0
    for member in find_members(platform.state.stack_id):
        times = psutil.Process(member.pid).cpu_times()
        total += times.user + times.system
    return total


def resident_mib(platform: Platform) -> dict[str, float]:
    """Resident memory of each process of our four services, by its name in the stack."""
    names = (status.name for status in Supervisor(RunDirectory(platform.home)).processes())
    return {name: platform.process(name).memory_info().rss / 2**20 for name in names if part_of(name) in _FOUR_SERVICES}
