"""`python -m benchmarks.overload.generator`: a process that makes calls; a job as JSON on stdin, samples on stdout.

A process of its own with ready-made bytes and HTTP/2 by hand, so that the load costs the platform under test as little
as it can.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from benchmarks.overload.connection import Connection

_SEED = 7
_GRACE_S = 30.0


@dataclass(frozen=True)
class Phase:
    """A stretch of load: `callers` that wait for their answers, or `per_s` calls at random whatever comes back."""

    seconds: float
    callers: int = 0
    per_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """Phases that follow each other without a pause."""

    address: str
    method: str
    request: str
    """File with the encoded request."""
    phases: Sequence[Phase]
    timeout_s: float
    """For the answers that are missing at the end. No call carries a deadline: one to Triton must not end before its
    answer."""
    connections: int = 4


@dataclass(frozen=True)
class Sample:
    """One call."""

    phase: int
    due_s: float
    """When it was to be sent, from the begin of the job."""
    late_s: float
    """How much later it was sent: what the generator itself is behind."""
    took_s: float
    """From the moment when it was due to its end."""
    code: int
    """Of gRPC; 0 is OK."""


def generate(job: Job) -> list[Sample]:
    """Run a job in a process of its own."""
    timeout_s = sum(phase.seconds for phase in job.phases) + job.timeout_s + _GRACE_S
    command = [sys.executable, "-m", "benchmarks.overload.generator"]
    done = subprocess.run(
        command, input=json.dumps(asdict(job)), check=True, stdout=subprocess.PIPE, text=True, timeout=timeout_s
    )
    return [Sample(*each) for each in json.loads(done.stdout)]


class Generator:
    """Runs one job."""

    def __init__(self, job: Job, connections: Sequence[Connection]) -> None:
        self._job = job
        self._connections = connections
        self._dice = random.Random(_SEED)
        self._begin_s = time.perf_counter()
        self._sent = 0
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """All phases, and the answers to everything that was sent."""
        calls: list[asyncio.Task[None]] = []
        end_s = 0.0
        for index, phase in enumerate(self._job.phases):
            begin_s, end_s = end_s, end_s + phase.seconds
            if phase.callers:
                callers = (self._caller(index, end_s) for _ in range(phase.callers))
                calls += [asyncio.create_task(caller) for caller in callers]
                await asyncio.sleep(end_s - self._now_s())
            else:
                await self._arrivals(calls, index, begin_s, end_s, phase.per_s)
        await asyncio.wait(calls, timeout=self._job.timeout_s)
        for connection in self._connections:
            connection.close()  # which ends what has no answer
        await asyncio.gather(*calls)

    def _now_s(self) -> float:
        return time.perf_counter() - self._begin_s

    async def _caller(self, phase: int, end_s: float) -> None:
        while (now_s := self._now_s()) < end_s:
            await self._call(phase, now_s)

    async def _arrivals(
        self, calls: list[asyncio.Task[None]], phase: int, begin_s: float, end_s: float, per_s: float
    ) -> None:
        due_s = begin_s + self._dice.expovariate(per_s)
        while due_s < end_s:
            await asyncio.sleep(max(0.0, due_s - self._now_s()))
            calls.append(asyncio.create_task(self._call(phase, due_s)))
            due_s += self._dice.expovariate(per_s)

    async def _call(self, phase: int, due_s: float) -> None:
        connection = self._connections[self._sent % len(self._connections)]
        self._sent += 1
        late_s = self._now_s() - due_s
        code = await connection.call()
        took_s = self._now_s() - due_s
        self.samples.append(Sample(phase, due_s, late_s, took_s, code))


async def _run(job: Job, request: bytes) -> list[Sample]:
    opening = (Connection.open(job.address, job.method, request) for _ in range(job.connections))
    generator = Generator(job, await asyncio.gather(*opening))
    await generator.run()
    return generator.samples


def main() -> None:
    """Read the job, print its samples."""
    given = json.load(sys.stdin)
    job = Job(**{**given, "phases": [Phase(**phase) for phase in given["phases"]]})
    samples = uvloop.run(_run(job, Path(job.request).read_bytes()))
    json.dump([list(asdict(sample).values()) for sample in samples], sys.stdout)


if __name__ == "__main__":
    main()
