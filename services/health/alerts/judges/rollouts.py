"""Rollouts that wait for somebody: held for a while, or taken back by their judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import grpc

from lepton_ai.errors import DeadlineExceeded, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.tracing.context import propagation, undecided
from lepton_ai.references import format_form
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1 import registry_pb2_grpc
from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing

_EVERY_S = 10.0
_TIMEOUT_S = 2.0
_NEWEST = 200
"""Of all models; what is still held before so many others began is not seen."""
_HELD_S = 300.0
"""A step that is just not settled yet is looked at again by itself."""
_TOLD_FOR_S = 3600.0
"""How long that a rollout was taken back stays an alert, unless another one of its model begins."""
_MAX_CAUSE = 500
_RUNBOOK = "docs/runbooks.md"


class RolloutJudge:
    """A rollout that is held, or was rolled back, is a ticket, unless a person did it, who knows."""

    name = "rollouts"

    def __init__(self, registry: ServicePool) -> None:
        self._registry = registry
        self._asked_s = float("-inf")
        self._newest: Sequence[pb.Rollout] | None = None

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All that wait now; the registry is asked again every ten seconds. Raises LeptonError."""
        if self._newest is None:  # nothing is known of what was found before this process began
            self._newest = await self._ask()
            self._asked_s = now_s
        elif not 0 <= now_s - self._asked_s < _EVERY_S:
            self._asked_s = now_s
            with suppress(Unavailable, DeadlineExceeded):  # the registry's absence is an alert of its own
                self._newest = await self._ask()
        return find_waiting(self._newest, now_s)

    async def _ask(self) -> Sequence[pb.Rollout]:
        request = pb.ListRolloutsRequest(limit=_NEWEST)

        def ask(channel: grpc.aio.Channel, left_s: float) -> Any:
            # Nobody asked for it: such traces would crowd out those that people look for.
            stub = registry_pb2_grpc.RegistryServiceStub(channel)
            return stub.ListRollouts(request, timeout=left_s, metadata=propagation(undecided()))

        listed: pb.ListRolloutsResponse = await self._registry.call(ask, timeout_s=_TIMEOUT_S)
        return list(listed.rollouts)


def find_waiting(rollouts: Iterable[pb.Rollout], now_s: float) -> list[Firing]:
    """Of the newest rollout of every model; `rollouts` are in order, the newest first."""
    newest: dict[str, pb.Rollout] = {}
    for rollout in rollouts:
        newest.setdefault(rollout.model, rollout)
    found = []
    for rollout in newest.values():
        if rollout.state == pb.ROLLOUT_STATE_HELD:
            found.append(_held(rollout))
        elif _was_rolled_back(rollout) and _age_s(rollout, now_s) < _TOLD_FOR_S:
            found.append(_rolled_back(rollout))
    return found


def _was_rolled_back(rollout: pb.Rollout) -> bool:
    """By the registry, that is: who did it without it knows."""
    return rollout.state == pb.ROLLOUT_STATE_ROLLED_BACK and not rollout.ended_by


def _held(rollout: pb.Rollout) -> Firing:
    share = f"{rollout.share / 100:g} %"
    texts = {
        "summary": f"{_name(rollout)} is held at {share} of the calls.",
        "impact": "callers are answered as before; nothing goes on until somebody decides",
    }
    return _firing("RolloutHeld", rollout, texts, value=rollout.share / 10_000, pending_s=_HELD_S)


def _rolled_back(rollout: pb.Rollout) -> Firing:
    old = format_form(rollout.old_version, rollout.old_variant)
    texts = {
        "summary": f"{_name(rollout)} was rolled back: version {old} has the calls again.",
        "impact": "callers are well again; what is new about the version does not reach them",
    }
    return _firing("RolloutRolledBack", rollout, texts, value=1.0, pending_s=0.0)


def _name(rollout: pb.Rollout) -> str:
    return f"The rollout of {rollout.model} to version {format_form(rollout.version, rollout.variant)}"


def _firing(name: str, rollout: pb.Rollout, texts: Mapping[str, str], *, value: float, pending_s: float) -> Firing:
    labels = {ALERT_NAME: name, SEVERITY: "ticket", "model": rollout.model, "version": str(rollout.version)}
    about = {**texts, "cause": rollout.reason[:_MAX_CAUSE], "runbook": f"{_RUNBOOK}#{name.lower()}"}
    return Firing(labels, about, value=value, pending_s=pending_s)


def _age_s(rollout: pb.Rollout, now_s: float) -> float:
    return now_s - rollout.changed_at.ToNanoseconds() / 1e9
