"""Reads the audit trail, and walks its chain."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lepton_ai.errors import InvalidInput
from lepton_ai.v1 import registry_pb2
from services.registry.audit.chain import ChainCheck, ChainedEntry
from services.registry.database.store import AuditFilter, Store

MAX_PAGE = 1000
_WALK = 1000
_HASH = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True)
class AuditPage:
    """Entries, the newest first."""

    entries: Sequence[ChainedEntry]
    before: int
    """To ask for those that come next; 0 when there are no more."""


class AuditTrail:
    """The audit trail as callers read it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, wanted: AuditFilter, *, limit: int) -> AuditPage:
        """A page of entries, the newest first."""
        limit = min(limit or 100, MAX_PAGE)
        async with self._store.reading() as reading:
            found = await reading.audit_entries(wanted, limit=limit + 1)
        entries = found[:limit]
        return AuditPage(entries, entries[-1].id if len(found) > limit else 0)

    async def verify(self, anchor: str = "") -> ChainCheck:
        """Walk the whole chain as it is now. Raises InvalidInput for an anchor that is no hash."""
        if not _HASH.fullmatch(anchor):
            raise InvalidInput.of_field(
                "anchor", "is no hash", fix="Give the one that an earlier verification printed."
            )
        check, last = ChainCheck(anchor), 0
        async with self._store.reading() as reading:
            while entries := await reading.audit_chain(after=last, limit=_WALK):
                for entry in entries:
                    check.follow(entry)
                last = entries[-1].id
                if check.broken is not None:
                    break
        return check


def page_message(page: AuditPage) -> registry_pb2.ListAuditResponse:
    """A page as callers see it."""
    return registry_pb2.ListAuditResponse(entries=map(_entry_message, page.entries), before=page.before)


def check_message(check: ChainCheck) -> registry_pb2.VerifyAuditResponse:
    """What was found, as callers see it."""
    return registry_pb2.VerifyAuditResponse(
        entries=check.entries, newest_hash=check.newest, broken=check.broken or 0, anchored=check.is_anchored
    )


def _entry_message(entry: ChainedEntry) -> registry_pb2.AuditEntry:
    message = registry_pb2.AuditEntry(
        id=entry.id,
        actor=entry.actor,
        action=entry.action,
        model=entry.model,
        before_json=_json(entry.before),
        after_json=_json(entry.after),
        hash=entry.hash or "",
    )
    message.at.FromDatetime(entry.at)
    return message


def _json(value: Mapping[str, object] | None) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
