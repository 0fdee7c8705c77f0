"""Tells the health service of this process's log records of WARNING and up."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter

from lepton_ai.credentials import token_metadata
from lepton_ai.errors import LeptonError, Unauthenticated
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.logs.waiting import WaitingRecords, unreported
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing.context import propagation, undecided
from lepton_ai.v1 import events_pb2, events_pb2_grpc

_GATHER_S = 0.5
"""How long records are gathered after the first one: they come in bursts."""
_AT_ONCE = 200
_TIMEOUT_S = 5.0
_LAST_TIMEOUT_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 10.0
_log = logging.getLogger(__name__)


def report_logs(server: Server, waiting: WaitingRecords, health: ServicePool, *, token: str) -> None:
    """Tell `health` of the records that wait, from now until the server has drained; `token` is the platform's.

    Call it before other parts ask the server to be closed: they are closed first, and what they log is told as well.
    """
    reporter = LogReporter(server, waiting, health, server.metrics.registry, token=token)
    server.on_close(reporter.close)
    reporter.start()


class LogReporter:
    """One for each process. Where there is nothing to tell it does nothing, not even wake up."""

    def __init__(
        self, server: Server, waiting: WaitingRecords, health: ServicePool, metrics: CollectorRegistry, *, token: str
    ) -> None:
        self._server = server
        self._waiting = waiting
        self._health = health
        self._proof = token_metadata(token)
        self._is_refused = False
        self._process = uuid.uuid4().hex
        self._some = asyncio.Event()
        self._told_lost = 0
        self._task: asyncio.Task[None] | None = None
        lost = Counter(
            "lepton_log_records_not_reported",
            "Log records of WARNING and up that health was not told of, as too many waited.",
            registry=metrics,
        )
        self._count_lost = lost.inc

    def start(self) -> None:
        """Begin to tell."""
        loop = asyncio.get_running_loop()

        def notify() -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody is told any more
                loop.call_soon_threadsafe(self._some.set)

        self._waiting.call_on_first(notify)
        self._some.set()  # some may wait already
        self._task = run_loop(self._run, name="report logs")

    async def close(self) -> None:
        """Tell the last ones, if health is there."""
        self._waiting.call_on_first(None)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with unreported():
            await self._tell(_LAST_TIMEOUT_S)

    async def _run(self) -> None:
        with unreported():
            failures = 0
            while True:
                await self._some.wait()
                self._some.clear()
                await asyncio.sleep(_GATHER_S)
                while self._waiting:
                    failures = 0 if await self._tell(_TIMEOUT_S) else failures + 1
                    if failures:
                        await asyncio.sleep(backoff_s(failures, base_s=_FIRST_PAUSE_S, max_s=_LONGEST_PAUSE_S))

    async def _tell(self, timeout_s: float) -> bool:
        """Tell the oldest ones; returns whether health has taken them, and then they wait no longer."""
        lost = self._waiting.lost
        self._count_lost(lost - self._told_lost)
        self._told_lost = lost
        records = self._waiting.first(_AT_ONCE)
        if not records:
            return True
        request = events_pb2.ReportLogsRequest(
            process=self._process,
            first=self._waiting.taken + 1,
            service=self._server.name,
            instance=self._server.address,
            records=records,
            lost=lost,
        )

        def report(channel: grpc.aio.Channel, left_s: float) -> Any:
            told = (*propagation(undecided()), *self._proof)  # untraced: nobody asked for it
            return events_pb2_grpc.EventServiceStub(channel).ReportLogs(request, timeout=left_s, metadata=told)

        try:
            await self._health.call(report, timeout_s=timeout_s)
        except Unauthenticated as error:
            if not self._is_refused:
                _log.warning("health takes no log records: %s", error)
            self._is_refused = True
            return False
        except LeptonError as error:
            _log.debug("health was not told of log records: %s", error)
            return False
        self._is_refused = False
        self._waiting.remove(len(records))
        return True
