"""Tells the health service every second what was answered. What cannot be told in time is lost, and counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from lepton_ai.credentials import token_metadata
from lepton_ai.errors import InvalidInput, LeptonError, PermissionDenied, Unauthenticated, Unsupported
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.prediction_ids import make_prediction_id, user_hash, version_tag
from lepton_ai.mesh.serving.metadata import PROBE
from lepton_ai.postprocessing import Answered
from lepton_ai.v1 import feedback_pb2, feedback_pb2_grpc
from services.inference.call import Call
from services.inference.recording.columns import NO_USER, Columns
from services.inference.recording.inputs import InputQueue, Sent
from services.inference.routing.routes import Resolved
from services.inference.version import LoadedVersion

_EVERY_S = 1.0
_TIMEOUT_S = 5.0
_LAST_TIMEOUT_S = 0.5
MOST_WAITING = 50_000
"""Predictions that wait to be told."""
_log = logging.getLogger(__name__)


class Recorder:
    """One for each process. To record costs a call some microseconds, and never waits for anybody."""

    def __init__(self, health: ServicePool, metrics: CollectorRegistry, *, token: str = "") -> None:
        """`token`: the platform's, by which health knows that it is told by one of its replicas."""
        self._health = health
        self._proof = token_metadata(token)
        self._is_refused = False
        self._inputs = InputQueue(metrics)
        self._gathered: dict[LoadedVersion, Columns] = {}
        self._tags: dict[LoadedVersion, str] = {}
        self._unsent: list[feedback_pb2.RememberedPredictions] = []
        self._waiting = 0
        self._lost = Counter(
            "lepton_predictions_not_remembered",
            "Predictions that feedback cannot be joined with, as health was not there to be told of them.",
            registry=metrics,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell."""
        self._task = run_loop(self._run, name="tell predictions")

    async def close(self) -> None:
        """Tell the last ones, if health is there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._tell(_LAST_TIMEOUT_S)
        await self._tell_inputs(_LAST_TIMEOUT_S)

    def make_id(self, loaded: LoadedVersion) -> str:
        """The id of an answer by a version."""
        tag = self._tags.get(loaded)
        if tag is None:
            tag = self._tags[loaded] = version_tag(loaded.model, loaded.version)
            self._columns(loaded)  # told even without predictions: then feedback finds the version by the tag
        return make_prediction_id(tag)

    def record(
        self, resolved: Resolved, answer_id: str, rows: Sequence[tuple[int, Answered]], call: Call, sent: Sent
    ) -> None:
        """Remember the rows of an answer: which item of the call each is, and what it was answered. Of the platform's
        own probes nothing: nobody has an opinion of them, and they are no sample of what comes."""
        if call.caller.named(PROBE):
            return
        loaded, routing_key = resolved.loaded, sent.options.routing_key
        user = user_hash(routing_key) if routing_key else NO_USER
        if loaded.feedback.keep_inputs:
            self._inputs.offer(loaded, answer_id, rows, sent, user)
            if resolved.shadow is not None:
                self._inputs.expect_other(call, loaded, answer_id, rows, sent, user)
        if self._waiting + len(rows) > MOST_WAITING:
            self._lost.inc(len(rows))
            return
        columns = self._columns(loaded)
        before = len(columns)
        duration_us = max(0, round((time.monotonic() - call.arrived_at) * 1e6))
        for item, row in rows:
            columns.add(answer_id, item, row, duration_us, user)
        self._waiting += len(columns) - before

    def disagreed(self, call: Call, others: Mapping[int, str]) -> None:
        """A shadowed version has answered a call, too: these rows otherwise, and so labelled."""
        self._inputs.disagreed(call, others)

    def _columns(self, loaded: LoadedVersion) -> Columns:
        columns = self._gathered.get(loaded)
        if columns is None:
            columns = self._gathered[loaded] = Columns(*loaded.key)
        return columns

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            await self._tell(_TIMEOUT_S)
            await self._tell_inputs(_TIMEOUT_S)

    async def _tell(self, timeout_s: float) -> None:
        gathered, self._gathered = self._gathered, {}
        self._unsent += [columns.message() for columns in gathered.values()]
        if not self._unsent:
            return
        request = feedback_pb2.RememberPredictionsRequest(versions=self._unsent)
        try:
            await self._call(partial(self._remember, request), timeout_s)
        except Unauthenticated as error:
            if not self._is_refused:
                _log.warning("health remembers no predictions: %s", error)
            self._is_refused = True
            return
        except LeptonError as error:
            _log.debug("health was not told of predictions: %s", error)
            return
        self._waiting -= sum(len(batch.items) for batch in self._unsent)
        self._unsent = []
        self._is_refused = False

    async def _tell_inputs(self, timeout_s: float) -> None:
        while (request := self._inputs.take()) is not None:
            try:
                await self._call(partial(self._keep, request), timeout_s)
            except (InvalidInput, PermissionDenied, Unauthenticated, Unsupported) as error:
                _log.warning("health keeps no inputs: %s", error)
                self._inputs.drop()
            except LeptonError as error:
                _log.debug("health was not told of inputs: %s", error)
                self._inputs.put_back()
                return
            else:
                self._inputs.sent()

    async def _remember(self, request: feedback_pb2.RememberPredictionsRequest, stub: Any, left_s: float) -> None:
        await stub.RememberPredictions(request, timeout=left_s, metadata=self._proof)

    async def _keep(self, request: feedback_pb2.KeepInputsRequest, stub: Any, left_s: float) -> None:
        await stub.KeepInputs(request, timeout=left_s, metadata=self._proof)

    async def _call(self, invoke: Callable[[Any, float], Awaitable[object]], timeout_s: float) -> None:
        await self._health.call(
            lambda channel, left_s: invoke(feedback_pb2_grpc.FeedbackServiceStub(channel), left_s), timeout_s=timeout_s
        )
