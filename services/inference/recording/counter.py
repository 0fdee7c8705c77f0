"""Counts what comes in, and tells the health service every second: a sample, at a bounded cost, beside the calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from lepton_ai.credentials import token_metadata
from lepton_ai.errors import LeptonError
from lepton_ai.inputs.counts import InputCounts
from lepton_ai.inputs.features import FeatureReader
from lepton_ai.inputs.messages import write_counts
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.loops import run_loop
from lepton_ai.v1 import drift_pb2, drift_pb2_grpc
from services.inference.predict.layers import RoutedCall
from services.inference.recording.sampling import MOST_ROWS, InputSampler, Taken, reader_of
from services.inference.version import LoadedVersion

SHARE_OF_A_CORE = 0.005
"""What counting may cost, over all versions: where a row costs more, fewer are counted."""
_EVERY_S = 1.0
_TIMEOUT_S = 5.0
_FIRST_COST_S = 1e-3
_LEAST_ROWS = 0.02
"""Wanted in a turn, however much a row costs: one in a minute."""
_log = logging.getLogger(__name__)


@dataclass
class _Version:
    reader: FeatureReader
    cost_s: float = _FIRST_COST_S
    """Of a row, CPU, smoothed."""


class InputCounter:
    """One for each process. Health's absence loses what would have been told: it is a sample."""

    def __init__(self, health: ServicePool, *, token: str = "") -> None:
        """`token`: the platform's, by which health knows that it is told by one of its replicas."""
        self._health = health
        self._proof = token_metadata(token)
        self._sampler = InputSampler()
        self._versions: dict[LoadedVersion, _Version] = {}
        self._wanted_profiles: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count and tell."""
        self._task = run_loop(self._run, name="count inputs")

    async def close(self) -> None:
        """Count no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def offer(self, routed: RoutedCall) -> None:
        """Perhaps count rows of a call that was answered."""
        if self._task is not None:
            self._sampler.offer(routed)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            taken = self._sampler.next_turn(self._wanted_rows())
            self._versions = {loaded: each for loaded, each in self._versions.items() if self._sampler.knows(loaded)}
            if taken:
                request = await asyncio.to_thread(self._count, taken)
                await self._tell(request)

    def _wanted_rows(self) -> Mapping[LoadedVersion, float]:
        """Of each version, so that all together stay within the bound."""
        budget_s = SHARE_OF_A_CORE * _EVERY_S / max(1, self._sampler.active)
        return {
            loaded: min(MOST_ROWS, max(_LEAST_ROWS, budget_s / each.cost_s)) for loaded, each in self._versions.items()
        }

    def _count(self, turns: Sequence[tuple[LoadedVersion, Sequence[Taken]]]) -> drift_pb2.CountInputsRequest:
        """In a thread: pictures are decoded."""
        request = drift_pb2.CountInputsRequest()
        for loaded, rows in turns:
            begun_s, counts = time.thread_time(), InputCounts()
            version = self._versions.get(loaded)
            if version is None:
                version = self._versions[loaded] = _Version(reader_of(loaded))
            for row in rows:
                try:
                    counts.add(version.reader.read(row.values()))
                except LeptonError as error:
                    _log.debug("an input of %s cannot be counted: %s", loaded.model, error)
                time.sleep(0)  # calls come first: they need not wait for the interpreter until all rows are done
            if counts.rows:
                self._write(request, loaded, counts)
            version.cost_s += (max(1e-6, (time.thread_time() - begun_s) / len(rows)) - version.cost_s) / 4
        return request

    def _write(self, request: drift_pb2.CountInputsRequest, loaded: LoadedVersion, counts: InputCounts) -> None:
        message = request.versions.add(model=loaded.model, version=loaded.version)
        write_counts(counts, message)
        if loaded.profile is not None:
            message.profile_digest = loaded.profile.digest
            if loaded.profile.digest in self._wanted_profiles:
                message.profile = loaded.profile.to_json()

    async def _tell(self, request: drift_pb2.CountInputsRequest) -> None:
        if not request.versions:
            return

        def tell(channel: grpc.aio.Channel, left_s: float) -> Any:
            stub = drift_pb2_grpc.DriftServiceStub(channel)
            return stub.CountInputs(request, timeout=left_s, metadata=self._proof)

        try:
            told: drift_pb2.CountInputsResponse = await self._health.call(tell, timeout_s=_TIMEOUT_S)
        except LeptonError as error:
            _log.debug("health was not told of inputs: %s", error)
            return
        self._wanted_profiles = set(told.wanted_profiles)
