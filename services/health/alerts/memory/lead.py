"""Which of the replicas of the health service leads, by etcd, and what holds while etcd is away."""

from __future__ import annotations

import logging
import time

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.state import StateStore
from services.health.alerts.memory.ledger import Ledger

LEADER = "/lepton/health/leader"
"""→ the node that leads; leased."""
_ALONE_AFTER_S = 10.0
_LOG = logging.getLogger(__name__)


class HealthLead:
    """A `Leadership`. That etcd is away is among what must be told, so whoever led goes on leading without it.

    Where the network is torn so that the other replica still reaches etcd, both lead until it is whole again: an alert
    that is told twice, with the same id, is better than one that nobody is told of.
    """

    def __init__(self, state: StateStore, ledger: Ledger) -> None:
        self._claim = state.claim(LEADER, ledger.node.encode())
        self._ledger = ledger
        self._asked_s: float | None = None

    async def take(self) -> bool:
        """Take the lead if nobody has it. Without etcd: after a moment, if this one led last, or never knew another."""
        if self._asked_s is None:
            self._asked_s = time.monotonic()
        try:
            holds = await self._claim.hold()
        except Unavailable:
            return self._ledger.led_last and time.monotonic() - self._asked_s > _ALONE_AFTER_S
        await self._ledger.note_led(leads=holds)
        return holds

    async def keep(self) -> None:
        """Raises Unavailable when another one leads."""
        try:
            holds = await self._claim.hold()
        except Unavailable:
            return
        if not holds:
            await self._ledger.note_led(leads=False)
            raise Unavailable("Another health service leads.", reason="NOT_LEADER")

    def give_up(self) -> None:
        """The claim ends with the connection to etcd."""
        self._asked_s = None
