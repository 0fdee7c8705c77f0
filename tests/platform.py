"""A whole local platform for tests: brought up in a folder of its own, with ways to look at it and to hurt it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from lepton_ai import Addresses, AsyncClient
from lepton_ai.local.processes.lifecycle import Stack, StackOptions
from lepton_ai.local.processes.observation import read_health
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import Supervisor, find_members
from lepton_ai.local.processes.table import PARTS, Part
from lepton_ai.local.programs.triton import shared_memory_prefix
from lepton_ai.local.stack import StackState, connection
from lepton_ai.mesh.shared_memory import SHARED_MEMORY


@dataclass(frozen=True)
class Platform:
    """A running local stack."""

    home: Path
    state: StackState

    @property
    def addresses(self) -> Addresses:
        """Where its services are."""
        found = connection(self.home)
        return Addresses(**{name: getattr(found, name) for name in Addresses.__dataclass_fields__})

    def client(self, *, trace_ratio: float = 0.0, timeout_s: float = 10.0) -> AsyncClient:
        return AsyncClient(self.addresses, trace_ratio=trace_ratio, timeout_s=timeout_s)

    def lepton(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line on this platform."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
        command = [sys.executable, "-c", "from lepton_ai.cli import main; main()", *arguments]
        environment["LEPTON_HOME"] = str(self.home)
        return subprocess.run(
            command, cwd=self.home, env=environment, capture_output=True, text=True, timeout=110, check=False
        )

    def process(self, name: str) -> psutil.Process:
        """The process that runs under this name now. Raises LookupError while there is none."""
        status = next(each for each in Supervisor(RunDirectory(self.home)).processes() if each.name == name)
        if status.pid is None:
            raise LookupError(f"{name} does not run")
        return psutil.Process(status.pid)

    def workers(self) -> list[psutil.Process]:
        """The workers of the inference replica, in the order in which they were started."""
        return sorted(self.process("inference").children(), key=lambda worker: worker.create_time())

    def python_stubs(self) -> list[psutil.Process]:
        """The processes in which Triton's Python backend runs models."""
        children = self.process("triton-1").children(recursive=True) if self._has("triton-1") else []
        children += self.process("triton").children(recursive=True) if self._has("triton") else []
        alive = (child for child in children if child.status() != psutil.STATUS_ZOMBIE)
        return [child for child in alive if "stub" in child.name()]

    def is_ready(self) -> bool:
        """Whether every process runs and says it is ready."""
        return read_health(RunDirectory(self.home), self.state).ready

    def _has(self, name: str) -> bool:
        return any(status.name == name for status in Supervisor(RunDirectory(self.home)).processes())


@contextmanager
def running_platform(
    home: Path,
    *,
    trace_ratio: float = 1.0,
    workers: int = 1,
    parts: tuple[Part, ...] = PARTS,
    timeout_s: float = 90,
    **replicas: int,
) -> Iterator[Platform]:
    """A local stack on free ports, stopped afterwards; nothing of it may be left. `workers` of inference; it has
    `timeout_s` to come up."""
    stack = Stack(home, parts=parts)
    try:
        state = stack.bring_up(
            StackOptions(
                usual_ports=False,
                replicas=replicas,
                workers={"inference": workers},
                trace_ratio=trace_ratio,
                timeout_s=timeout_s,
            )
        )
        yield Platform(home, state)
    finally:
        recorded = stack.read_running()
        stack.take_down()
        assert recorded is None or not find_members(recorded.stack_id)
        assert not regions_of(home)


def regions_of(home: Path) -> set[Path]:
    """The shared memory that the Tritons of a run directory have now, or have left when they were killed."""
    prefixes = map(shared_memory_prefix, RunDirectory(home).cache.glob("triton*"))
    return {region for prefix in prefixes for region in SHARED_MEMORY.glob(f"{prefix}*")}
