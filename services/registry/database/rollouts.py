"""Rollouts in the registry's database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.database.schema import rollout_decisions
from services.registry.database.schema import rollouts as table
from services.registry.rollouts.record import Decision, MetricGate, NewRollout, Plan, RolloutRecord, State


class RolloutReading:
    """Queries of rollouts in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def live_rollout(self, model: str) -> RolloutRecord | None:
        found = await self.rollouts(model, only_live=True, limit=1)
        return found[0] if found else None

    async def rollouts(self, model: str = "", *, only_live: bool = False, limit: int = 100) -> Sequence[RolloutRecord]:
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if model:
            query = query.where(table.c.model == model)
        if only_live:
            query = query.where(table.c.is_live)
        return [_record(row) for row in await self._connection.execute(query)]

    async def decisions(self, rollout_id: int, *, limit: int) -> Sequence[Decision]:
        query = select(rollout_decisions).where(rollout_decisions.c.rollout == rollout_id)
        newest = query.order_by(rollout_decisions.c.id.desc()).limit(limit)
        return [_decision(row) for row in await self._connection.execute(newest)]


class RolloutWriting(RolloutReading):
    """Changes of rollouts in one transaction."""

    async def add_rollout(self, new: NewRollout) -> RolloutRecord:
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "model": new.model,
            "version": new.version,
            "old_version": new.old_version,
            "variant": new.variant,
            "old_variant": new.old_variant,
            "state": new.state.value,
            "shares": list(new.plan.shares),
            "step_s": new.plan.step_s,
            "bake_s": new.plan.bake_s,
            "is_judged": new.plan.is_judged,
            "shadow": new.plan.shadow,
            "sticky_by": new.plan.sticky_by,
            "metrics": [asdict(gate) for gate in new.plan.metrics],
            "margins": dict(new.plan.margins),
            "step": 0,
            "passed_s": 0.0,
            "is_live": new.state.is_under_way,
            "reason": new.reason,
            "actor": new.actor,
            "started_at": now,
            "changed_at": now,
        }
        added = await self._connection.execute(insert(table).values(**values).returning(table))
        return _record(added.one())

    async def set_rollout(self, record: RolloutRecord) -> None:
        values = {
            "state": record.state.value,
            "step": record.step,
            "passed_s": record.passed_s,
            "is_live": record.is_live,
            "reason": record.reason,
            "ended_by": record.ended_by,
            "judge": record.judge,
            "verdict": record.verdict,
            "changed_at": record.changed_at,
        }
        await self._connection.execute(update(table).where(table.c.id == record.id).values(**values))

    async def add_decision(self, record: RolloutRecord, actor: str) -> None:
        values = {
            "rollout": record.id,
            "state": record.state.value,
            "step": record.step,
            "share": record.share,
            "actor": actor,
            "reason": record.reason,
            "verdict": record.verdict,
            "decided_at": datetime.now(UTC),
        }
        await self._connection.execute(insert(rollout_decisions).values(**values))


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        state=State(row.state),
        step=row.step,
        share=row.share,
        actor=row.actor,
        reason=row.reason,
        verdict=row.verdict,
        decided_at=row.decided_at.replace(tzinfo=UTC),
    )


def _record(row: Row[Any]) -> RolloutRecord:
    return RolloutRecord(
        id=row.id,
        model=row.model,
        version=row.version,
        old_version=row.old_version,
        plan=Plan(
            tuple(row.shares),
            row.step_s,
            row.bake_s,
            row.is_judged,
            row.shadow,
            row.sticky_by,
            tuple(MetricGate(**gate) for gate in row.metrics),
            row.margins,
        ),
        state=State(row.state),
        step=row.step,
        passed_s=row.passed_s,
        is_live=row.is_live,
        reason=row.reason,
        actor=row.actor,
        # SQLite forgets the time zone; everything is written in UTC.
        started_at=row.started_at.replace(tzinfo=UTC),
        changed_at=row.changed_at.replace(tzinfo=UTC),
        judge=row.judge,
        verdict=row.verdict,
        variant=row.variant,
        old_variant=row.old_variant,
        ended_by=row.ended_by,
    )
