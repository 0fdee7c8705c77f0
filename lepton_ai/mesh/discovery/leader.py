"""One of several processes of a service leads: it alone does the work that must not be done twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.loops import run_loop

_INTERVAL_S = 1.0
_PROBE_TIMEOUT_S = 2.0
_WITHOUT_STATE_S = 3.0
"""How long a leader that needs etcd goes on without it: another one may reach it."""
_PROBE = "/lepton/deployments/"
_LOG = logging.getLogger(__name__)


class Leadership(Protocol):
    """The lead among the processes of a service."""

    async def take(self) -> bool:
        """Take the lead if nobody has it. Raises Unavailable."""

    async def keep(self) -> None:
        """Show that this leader lives. Raises Unavailable when the lead is lost."""

    def give_up(self) -> None:
        """Give the lead away."""


class Work(Protocol):
    """Something that only a leader does."""

    def start(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """Stop; it may be started again."""


class Leader:
    """Starts the work when this process becomes the leader, and stops it when it is no longer.

    Between the loss of the lead and its noticing, two may work: what the work does must be safe by itself.
    """

    def __init__(self, leadership: Leadership | None, state: StateStore | None, work: Sequence[Work]) -> None:
        """`leadership` is None for the only process there can be: it leads from its start to its end.

        `state`: whoever does not reach it cannot lead; None where a leader is of use without it.
        """
        self._leadership = leadership
        self._state = state
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self.leads = False
        """Whether the work is being done here."""

    def start(self) -> None:
        """Lead, or wait for the lead."""
        if self._leadership is None:
            self._begin()
        else:
            leadership = self._leadership
            self._task = run_loop(lambda: self._stand(leadership), name="lead")

    async def close(self) -> None:
        """Give the lead away."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        else:
            await self._end()

    def _begin(self) -> None:
        self.leads = True
        for each in self._work:
            each.start()

    async def _end(self) -> None:
        self.leads = False
        for each in self._work:
            await each.close()

    async def _stand(self, leadership: Leadership) -> None:
        while True:
            if await self._takes(leadership):
                _LOG.info("this process leads")
                try:
                    self._begin()
                    await self._keep(leadership)
                finally:
                    leadership.give_up()
                    await self._end()
                _LOG.warning("this process leads no longer")
            await asyncio.sleep(_INTERVAL_S)

    async def _takes(self, leadership: Leadership) -> bool:
        try:
            return await self._reaches_state() and await leadership.take()
        except LeptonError as error:
            _LOG.warning("cannot take the lead: %s", error)
            return False

    async def _keep(self, leadership: Leadership) -> None:
        """Returns when the lead is lost, or useless."""
        reached_s = time.monotonic()
        while time.monotonic() - reached_s < _WITHOUT_STATE_S:
            await asyncio.sleep(_INTERVAL_S)
            try:
                await leadership.keep()
            except LeptonError as error:
                _LOG.warning("the lead is lost: %s", error)
                return
            if await self._reaches_state():
                reached_s = time.monotonic()
        _LOG.warning("etcd is out of reach: another process may lead")

    async def _reaches_state(self) -> bool:
        if self._state is None:
            return True
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await self._state.get(_PROBE)
        except (LeptonError, TimeoutError):
            return False
        return True
