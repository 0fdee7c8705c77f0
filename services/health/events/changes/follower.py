"""Follows the shared state and the registry's audit trail; what changes comes on the time line once, with its actor."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from lepton_ai.errors import LeptonError, Unavailable
from lepton_ai.mesh.discovery.records import (
    UNREADABLE,
    Records,
    decode_deployment,
    decode_endpoint,
    decode_serving_state,
)
from lepton_ai.mesh.discovery.state import DEPLOYMENTS, ENDPOINTS, SERVING, Watch
from lepton_ai.mesh.loops import run_loop
from lepton_ai.v1 import registry_pb2
from services.health.events.changes.audit import AuditReader, event_of, newest
from services.health.events.changes.deployments import describe
from services.health.events.changes.processes import compare_processes, compare_replicas, is_pending
from services.health.events.changes.seen import Seen
from services.health.events.changes.serving import compare_serving, compare_tritons
from services.health.events.database import EventsDatabase, recall
from services.health.events.event import Event
from services.health.events.timeline import Timeline

_MEMORY = "seen"
_GATHER_S = 0.2
"""How long changes are gathered after the first one: they come in bursts."""
_SOON_S = 0.5
_EVERY_S = 5.0
"""How often the audit trail is read when nothing shows in the shared state."""
EXPLAIN_S = 3.0
"""How long the audit trail is waited for when a deployment has changed: etcd hears of it a moment before."""
_log = logging.getLogger(__name__)


class ChangeFollower:
    """Compares what is there with what it has told. One deploy is one event, the audit trail's where it can be read."""

    def __init__(
        self, watches: Mapping[str, Watch], audit: AuditReader, timeline: Timeline, database: EventsDatabase
    ) -> None:
        """`watches`: those of ENDPOINTS, DEPLOYMENTS and SERVING."""
        self._watches = watches
        self._audit = audit
        self._timeline = timeline
        self._database = database
        self._endpoints = Records(decode_endpoint)
        self._deployments = Records(decode_deployment)
        self._serving = Records(decode_serving_state)
        self._seen: Seen | None = None
        self._unexplained: dict[str, float] = {}
        """Model → since when its deployment waits for the audit trail, on the monotonic clock."""
        self._audit_answers = True
        self._writes = True
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Look from now on."""
        await self.restore()
        self._tasks = [
            *(run_loop(partial(self._listen, each), name=f"changes of {key}") for key, each in self._watches.items()),
            run_loop(self._run, name="follow changes"),
        ]

    async def restore(self) -> None:
        """Go on from where the last process stopped."""
        text = await self._database.read(partial(recall, name=_MEMORY))
        try:
            self._seen = None if text is None else Seen.from_json(text)
        except UNREADABLE:
            _log.warning("what was told of changes cannot be read; they are told from now on")

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self, now_s: float) -> None:
        """Tell what has changed since the last look."""
        if not all(watch.connected for watch in self._watches.values()):
            return  # what is missing may only be unknown
        is_first = self._seen is None
        entries = await self._read_audit()
        seen, events, instead = self._take_audit(self._seen or Seen(), entries or ())
        endpoints = list(self._endpoints.read(self._watches[ENDPOINTS].entries).values())
        told, processes = compare_processes(seen.processes, endpoints, now_s)
        scaled, replicas = compare_replicas(seen.replicas, endpoints, now_s)
        states = self._serving.read(self._watches[SERVING].entries).values()
        served, failed = compare_serving(seen.failed, states, now_s)
        restarted, tritons, restarts = compare_tritons(seen.tritons, seen.triton_restarts, states, now_s)
        seen = replace(seen, processes=processes, replicas=replicas, failed=failed)
        seen = replace(seen, tritons=tritons, triton_restarts=restarts)
        seen, deployed = self._compare_deployments(seen, now_s, is_first=is_first, answers=entries is not None)
        events += [*told, *scaled, *served, *restarted, *deployed]
        if seen != self._seen:
            await self._write(events, instead, seen)

    async def _write(self, events: Sequence[Event], instead: Mapping[str, str], seen: Seen) -> None:
        try:
            await self._timeline.add_all(events, instead=instead, memory=(_MEMORY, seen.to_json()))
        except Unavailable as error:
            if self._writes:
                _log.warning("changes cannot be written, and are tried again", extra={"why": error.message})
            self._writes = False
            return
        self._seen, self._writes = seen, True

    async def _read_audit(self) -> list[registry_pb2.AuditEntry] | None:
        """New entries; None when the registry does not tell."""
        seen = self._seen or Seen()
        try:
            entries = await self._audit.read(seen.audit_id, seen.audit_hash)
        except LeptonError as error:
            if self._audit_answers:
                _log.info("the audit trail cannot be read; who changes what is not known", extra={"why": error.message})
            self._audit_answers = False
            return None
        self._audit_answers = True
        return entries

    def _take_audit(
        self, seen: Seen, entries: Sequence[registry_pb2.AuditEntry]
    ) -> tuple[Seen, list[Event], dict[str, str]]:
        """Events of entries, and which events they take the place of."""
        if not entries:
            return seen, [], {}
        events, instead, untold, explained = [], {}, dict(seen.untold), dict(seen.explained)
        for entry in entries:
            event = event_of(entry)
            events.append(event)
            if entry.model in untold and entry.model in newest([entry]):
                instead[event.identity] = untold.pop(entry.model)
                explained[entry.model] = entry.id
        last = entries[-1]
        known = {**seen.newest, **newest(entries)}
        seen = replace(seen, audit_id=last.id, audit_hash=last.hash, newest=known, untold=untold, explained=explained)
        return seen, events, instead

    def _compare_deployments(
        self, seen: Seen, now_s: float, *, is_first: bool, answers: bool
    ) -> tuple[Seen, list[Event]]:
        """Changes that the audit trail does not explain, after it had its time to."""
        present = self._known_deployments()
        if is_first:  # what is deployed already is no news
            return replace(seen, deployments=present, explained=dict(seen.newest)), []
        events: list[Event] = []
        deployments, explained, untold = dict(seen.deployments), dict(seen.explained), dict(seen.untold)
        for model in sorted(deployments.keys() | present.keys()):
            before, after = deployments.get(model), present.get(model)
            if before == after:
                continue
            if seen.newest.get(model, 0) > explained.get(model, 0):
                explained[model] = seen.newest[model]
            elif answers and self._may_be_explained(model):
                continue
            else:
                event = _unexplained(model, before, after, now_s)
                if event is not None:
                    events.append(event)
                    untold[model] = event.identity
            self._unexplained.pop(model, None)
            deployments.pop(model, None)
            if after is not None:
                deployments[model] = after
        return replace(seen, deployments=deployments, explained=explained, untold=untold), events

    def _may_be_explained(self, model: str) -> bool:
        since_s = self._unexplained.setdefault(model, time.monotonic())
        return time.monotonic() - since_s < EXPLAIN_S

    def _known_deployments(self) -> dict[str, registry_pb2.Deployment]:
        found = {}
        for each in self._deployments.read(self._watches[DEPLOYMENTS].entries).values():
            found[each.model] = registry_pb2.Deployment(
                model=each.model, generation=each.generation, routes=each.routes
            )
        return found

    async def _listen(self, watch: Watch) -> None:
        async for _ in watch.changes():
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            await self.look(time.time())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _SOON_S if self._waits() else _EVERY_S)
                await asyncio.sleep(_GATHER_S)

    def _waits(self) -> bool:
        """Whether there is news to come without anybody telling."""
        seen = self._seen or Seen()
        return bool(self._unexplained) or not self._writes or is_pending(seen.processes, seen.replicas)


def _unexplained(
    model: str, before: registry_pb2.Deployment | None, after: registry_pb2.Deployment | None, now_s: float
) -> Event | None:
    described = describe(model, before, after)
    if described is None:
        return None
    labels = {"model": model} | ({"version": str(described.version)} if described.version else {})
    generation = (after or before or registry_pb2.Deployment()).generation
    key = f"deployment/{model}/{generation}/{'there' if after else 'gone'}"
    return Event(now_s, described.kind, described.title, labels, key=key)
