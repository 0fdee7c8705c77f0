"""What replicas of the health service share of alerts, in etcd: the next leader goes on where the last one stopped.

Each record has a key of its own. The leader's records are as its last leader left them; what people did (silences,
acknowledgements, objectives) may be written by any replica, and the higher revision counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from lepton_ai.errors import InvalidInput, Unavailable
from lepton_ai.mesh.discovery.records import Records
from lepton_ai.mesh.discovery.state import StateStore, Watch
from lepton_ai.mesh.loops import run_loop
from services.health.alerts.memory.ledger import Ledger, read_record
from services.health.alerts.memory.records import KINDS, Delivery, DeliveryState, Group, Record

PREFIX = "/lepton/health/alerts/"
_LAST_LEADER = f"{PREFIX}last-leader"
"""→ the node that led last: to all others, what is shared of the leader's records is the truth."""
_MAX_VALUE_BYTES = 512 << 10
_RECONCILE_EVERY_S = 30.0
_ORDER = {kind: place for place, kind in enumerate(KINDS)}
_RETRY_S = 1.0
_log = logging.getLogger(__name__)


class SharedLedger:
    """Runs from `start()` to `close()`; `leads` says at each moment whether this replica is the leader."""

    def __init__(self, state: StateStore, ledger: Ledger) -> None:
        self.leads = False
        self._state = state
        self._ledger = ledger
        self._node = ledger.node.encode()
        self._records = Records(_decode)
        self._outgoing: dict[str, bytes | None] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._watch: Watch | None = None
        self._tasks: list[asyncio.Task[None]] = []
        ledger.listen(self._note)

    async def start(self) -> None:
        """Begin to follow the others and to tell them."""
        self._watch = await self._state.watch(PREFIX)
        self._tasks = [
            run_loop(self._follow, name="follow shared alerts"),
            run_loop(self._tell, name="share alerts"),
            run_loop(self._reconcile, name="reconcile shared alerts"),
        ]

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._watch is not None:
            await self._watch.close()

    async def take_over(self) -> None:
        """Begin to lead: know what the leader before knew, if that was another one. Without etcd, what is here counts.

        Raises nothing of etcd's: while it is away nobody else can lead either.
        """
        try:
            shared = await self._state.list(PREFIX)
            if self._another_led(shared):
                await self._mirror(self._read(shared))
                await self._ledger.save(_told_by_deliveries(self._ledger))
            await self._state.put(_LAST_LEADER, self._node)
        except Unavailable as error:
            _log.warning("alerts are led without etcd: %s", error.message)
        self.leads = True
        self._put_missing()

    def step_down(self) -> None:
        """Lead no longer: from now on, what the next leader shares is what is known here."""
        self.leads = False

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all that was written here is shared; False when that takes longer than `timeout_s`."""
        if self._watch is None or not self._watch.connected:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def _note(self, put: Sequence[Record], drop: Sequence[Record]) -> None:
        """Records that the next leader does not need are not shared: deliveries that are done."""
        ordered = sorted(put, key=lambda record: _ORDER[record.kind])
        self._send({_key(each): _encode(each) if _is_shared(each) else None for each in ordered})
        self._send({_key(each): None for each in drop})

    def _send(self, values: Mapping[str, bytes | None]) -> None:
        """One after the other in this order: a kill between two of them loses nothing, if the order is right."""
        if values:
            for key, value in values.items():
                self._outgoing.pop(key, None)
                self._outgoing[key] = value
            self._settled.clear()
            self._changed.set()

    async def _tell(self) -> None:
        while True:
            self._changed.clear()
            for key, value in list(self._outgoing.items()):
                try:
                    await (self._state.delete(key) if value is None else self._state.put(key, value))
                except Unavailable:
                    await asyncio.sleep(_RETRY_S)
                    self._changed.set()
                    break
                if self._outgoing.get(key) is value:  # else it has changed meanwhile
                    del self._outgoing[key]
            if not self._outgoing:
                self._settled.set()
            await self._changed.wait()

    async def _follow(self) -> None:
        assert self._watch is not None  # noqa: S101 - set by start
        async for entries in self._watch.changes():
            known = self._read(entries)
            if not self.leads and self._another_led(entries):
                await self._mirror(known)
            else:
                await self._ledger.adopt([each for each in known.values() if not each.leaders])

    async def _mirror(self, shared: Mapping[str, Record]) -> None:
        """Know of what is the leader's exactly what is shared, and of the rest whatever is newer there."""
        gone = [
            record
            for kind in KINDS.values()
            if kind.leaders
            for record in self._ledger.of(kind).values()
            if _key(record) not in shared and _is_shared(record)
        ]
        await self._ledger.adopt(list(shared.values()), gone)

    async def _reconcile(self) -> None:
        while True:
            await asyncio.sleep(_RECONCILE_EVERY_S)
            self._put_missing()

    def _put_missing(self) -> None:
        """Share what etcd has lost, or has not heard of."""
        if self._watch is None or not self._watch.connected:
            return
        entries = self._watch.entries
        there = self._read(entries)
        ours = {
            _key(record): record
            for kind in KINDS.values()
            if self.leads or not kind.leaders
            for record in self._ledger.of(kind).values()
            if _is_shared(record)
        }
        missing: dict[str, bytes | None] = {
            key: _encode(record)
            for key, record in ours.items()
            if key not in there or there[key].revision < record.revision
        }
        if self.leads:
            missing[_LAST_LEADER] = self._node
            missing |= {key: None for key, record in there.items() if record.leaders and key not in ours}
        self._send({key: value for key, value in missing.items() if entries.get(key) != value})

    def _another_led(self, entries: Mapping[str, bytes]) -> bool:
        return entries.get(_LAST_LEADER, self._node) != self._node

    def _read(self, entries: Mapping[str, bytes]) -> Mapping[str, Record]:
        return self._records.read({key: value for key, value in entries.items() if key != _LAST_LEADER})


def _told_by_deliveries(ledger: Ledger) -> list[Group]:
    """What receivers know by deliveries that were shared, when their leader was killed before it shared the groups."""
    groups = ledger.of(Group)
    deliveries = sorted(ledger.of(Delivery).values(), key=lambda each: each.told.count if each.told else 0)
    told = {each.told.id: each.told for each in deliveries if each.told is not None}
    return [each for each in told.values() if each.firing and _is_older(groups.get(each.id), each)]


def _is_older(known: Group | None, told: Group) -> bool:
    return known is None or (known.opened == told.opened and known.count < told.count)


def _is_shared(record: Record) -> bool:
    return not isinstance(record, Delivery) or record.state is DeliveryState.PENDING


def _key(record: Record) -> str:
    return f"{PREFIX}{record.kind}/{quote(record.id, safe='')}"


def _encode(record: Record) -> bytes | None:
    """None for what is too large for etcd: it stays here, rather than in the way of everything else."""
    value = record.model_dump_json().encode()
    if len(value) <= _MAX_VALUE_BYTES:
        return value
    _log.error("a record of alerts is too large to be shared", extra={"kind": record.kind, "id": record.id})
    return None


def _decode(key: str, value: bytes) -> Record:
    kind = key.removeprefix(PREFIX).partition("/")[0]
    record = read_record(kind, value) if len(value) <= _MAX_VALUE_BYTES else None
    if record is None or _key(record) != key:
        raise InvalidInput("The value is not a record of alerts.", fix="Delete the key; its owner writes it again.")
    return record
