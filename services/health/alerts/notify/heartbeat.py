"""The dead man's switch: a sign of life to somebody outside, who raises the alarm when it no longer comes."""

from __future__ import annotations

import asyncio
import logging
import time

from services.health.alerts.notify.http import HttpSender
from services.health.alerts.notify.outcome import Outcome

_LOG = logging.getLogger(__name__)


class Heartbeat:
    """`beat` is called after each round that was done whole: a process that lives and does not judge is silent."""

    def __init__(self, url: str, http: HttpSender, *, interval_s: float, node: str) -> None:
        """Without a `url` it does nothing."""
        self.last = Outcome()
        self._url = url
        self._http = http
        self._interval_s = interval_s
        self._node = node
        self._next_s = 0.0
        self._beating: asyncio.Task[None] | None = None

    def beat(self, firing: int) -> None:
        """Send a sign of life if it is time; `firing` alerts fire."""
        if not self._url or time.monotonic() < self._next_s or (self._beating and not self._beating.done()):
            return
        self._next_s = time.monotonic() + self._interval_s
        self._beating = asyncio.create_task(self._beat(firing), name="heartbeat")

    async def close(self) -> None:
        """Stop."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    async def _beat(self, firing: int) -> None:
        self.last = await self._http.beat(self._url, {"watchdog": "lepton", "node": self._node, "firing": firing})
        if not self.last.is_delivered:
            _LOG.warning("the sign of life does not arrive: %s", self.last.error)
