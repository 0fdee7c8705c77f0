"""Records of the database as messages of the registry's contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lepton_ai.references import PRODUCTION
from lepton_ai.v1 import registry_pb2
from services.registry.rollouts.record import RolloutRecord, State
from services.registry.store import DeploymentRecord, FileRecord, Reading, VersionRecord


def version_message(record: VersionRecord, aliases: Mapping[str, int]) -> registry_pb2.ModelVersion:
    """A version with the aliases that point to it."""
    message = registry_pb2.ModelVersion(
        model=record.model,
        version=record.version,
        digest=record.digest,
        manifest=manifest_message(record),
        aliases=sorted(alias for alias, version in aliases.items() if version == record.version),
        description=record.description,
        size_bytes=record.size_bytes,
    )
    message.created_at.FromDatetime(record.created_at)
    return message


def manifest_message(record: VersionRecord) -> registry_pb2.Manifest:
    """The manifest that was pushed."""
    files = [registry_pb2.PackageFile(path=f.path, size_bytes=f.size_bytes, sha256=f.sha256) for f in record.files]
    return registry_pb2.Manifest(model=record.model, files=files)


def file_records(manifest: registry_pb2.Manifest) -> tuple[FileRecord, ...]:
    """The files of a manifest, sorted by path."""
    files = (FileRecord(file.path, file.size_bytes, file.sha256) for file in manifest.files)
    return tuple(sorted(files, key=lambda file: file.path))


def deployment_message(record: DeploymentRecord, versions: Sequence[VersionRecord]) -> registry_pb2.Deployment:
    """A deployment with all that a replica needs to fetch and route its versions."""
    message = registry_pb2.Deployment(model=record.model, generation=record.generation)
    for version in versions:
        message.versions.add(version=version.version, digest=version.digest, manifest=manifest_message(version))
    routes: dict[str, registry_pb2.Route] = {}
    for target in record.routes:
        if target.alias not in routes:
            routes[target.alias] = message.routes.add(alias=target.alias)
        routes[target.alias].targets.add(version=target.version, weight=target.weight)
    return message


def rollout_message(record: RolloutRecord) -> registry_pb2.Rollout:
    """A rollout as callers see it."""
    plan = registry_pb2.RolloutPlan(
        shares=record.plan.shares,
        step_s=record.plan.step_s,
        bake_s=record.plan.bake_s,
        unjudged=not record.plan.is_judged,
    )
    message = registry_pb2.Rollout(
        id=record.id,
        model=record.model,
        version=record.version,
        old_version=record.old_version,
        plan=plan,
        state=registry_pb2.RolloutState.Value(f"ROLLOUT_STATE_{record.state.name}"),
        step=record.step,
        share=record.share,
        step_passed_s=record.passed_s,
        baking=record.is_live and record.state is State.PROMOTED,
        reason=record.reason,
        actor=record.actor,
    )
    if record.verdict is not None:
        _write_verdict(record.verdict, message.verdict)
    message.started_at.FromDatetime(record.started_at)
    message.changed_at.FromDatetime(record.changed_at)
    return message


def _write_verdict(verdict: Mapping[str, Any], message: registry_pb2.Verdict) -> None:
    message.sentence, message.outcome = verdict["sentence"], _outcome(verdict)
    for gate in verdict["gates"]:
        message.gates.add(gate=gate["gate"], sentence=gate["sentence"], outcome=_outcome(gate), numbers=gate["numbers"])


def _outcome(said: Mapping[str, Any]) -> registry_pb2.VerdictOutcome.ValueType:
    return registry_pb2.VerdictOutcome.Value(f"VERDICT_OUTCOME_{said['outcome'].upper()}")


async def read_deployment(reading: Reading, model: str) -> registry_pb2.Deployment | None:
    """What is asked to be served of a model, from the database."""
    record = await reading.deployment(model)
    if record is None:
        return None
    versions = [await reading.version(model, number) for number in record.versions]
    message = deployment_message(record, [version for version in versions if version is not None])
    rollout = await reading.live_rollout(model)
    if rollout is not None and rollout.state.has_shares:
        for route in message.routes:
            if route.alias == PRODUCTION and rollout.version in {target.version for target in route.targets}:
                route.candidate, route.rollout = rollout.version, rollout.id
    return message
