"""The audit trail as a client reads it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lepton_ai.client.control.registry_calls import RegistryClient
from lepton_ai.references import check_name
from lepton_ai.v1 import registry_pb2

_VERIFY_TIMEOUT_S = 600.0
_PAGE = 1000


class Audit:
    """The part of `AsyncClient` for the audit trail."""

    async def audit(
        self: RegistryClient,
        model: str = "",
        *,
        action: str = "",
        actor: str = "",
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[registry_pb2.AuditEntry]:
        """Who changed what, the newest first: of a model, of an action, of actors with this text in their names."""
        request = registry_pb2.ListAuditRequest(
            model=check_name(model, field="model") if model else "", action=action, actor=actor
        )
        if since is not None:
            request.since.FromDatetime(since)
        entries: list[registry_pb2.AuditEntry] = []
        while len(entries) < limit:
            request.limit = min(limit - len(entries), _PAGE)
            page: registry_pb2.ListAuditResponse = await self._registry(
                lambda stub, left_s: stub.ListAudit(request, timeout=left_s, metadata=self._proof), self._timeout_s
            )
            entries += page.entries
            if not page.before:
                break
            request.before = page.before
        return entries

    async def verify_audit(self: RegistryClient, anchor: str = "") -> registry_pb2.VerifyAuditResponse:
        """Have the chain of the audit trail walked; `anchor` is the newest hash of an earlier time."""
        request = registry_pb2.VerifyAuditRequest(anchor=anchor)
        return await self._registry(
            lambda stub, left_s: stub.VerifyAudit(request, timeout=left_s, metadata=self._proof), _VERIFY_TIMEOUT_S
        )
