"""Records of the database as messages of the registry's contract."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.references import PRODUCTION
from lepton_ai.v1 import registry_pb2
from services.registry.catalogue.record import PushRecord, VersionState
from services.registry.database.store import (
    DeploymentRecord,
    FileRecord,
    Reading,
    VariantRecord,
    VersionRecord,
    VersionSummary,
)
from services.registry.rollouts.record import Decision, MetricGate, Plan, RolloutRecord, State

ORIGINALS = "exact"
"""The policy of a model that lets no variant answer."""
_STATES = {state: registry_pb2.ModelVersionState.Value(f"MODEL_VERSION_STATE_{state.name}") for state in VersionState}


def version_message(record: VersionRecord, aliases: Mapping[str, int]) -> registry_pb2.ModelVersion:
    """A version with the aliases that point to it."""
    message = _described(record, aliases, record.size_bytes)
    message.manifest.CopyFrom(manifest_message(record))
    for variant, variant_record in zip(message.variants, record.variants, strict=True):
        variant.manifest.CopyFrom(manifest_message(variant_record))
    return message


def summary_message(summary: VersionSummary, aliases: Mapping[str, int]) -> registry_pb2.ModelVersion:
    """A version without its manifest."""
    return _described(summary.record, aliases, summary.size_bytes)


def _described(record: VersionRecord, aliases: Mapping[str, int], size_bytes: int) -> registry_pb2.ModelVersion:
    message = registry_pb2.ModelVersion(
        model=record.model,
        version=record.version,
        digest=record.digest,
        aliases=sorted(alias for alias, version in aliases.items() if version == record.version) if aliases else (),
        description=record.description,
        size_bytes=size_bytes,
        state=state_value(record.state),
        reason=record.reason,
        dry_run=record.dry_run,
        tags=record.tags or None,
    )
    # As FromDatetime does, which takes ten times as long: pages have a thousand versions.
    message.created_at.seconds = int(record.created_at.timestamp())
    message.created_at.nanos = 1000 * record.created_at.microsecond
    if record.changed_at is not None:
        message.changed_at.FromDatetime(record.changed_at)
    if record.lineage:
        message.lineage.CopyFrom(lineage_message(record.lineage))
    message.variants.extend(map(variant_message, record.variants))
    return message


def variant_message(record: VariantRecord) -> registry_pb2.Variant:
    """A variant of a version, without its manifest."""
    message = registry_pb2.Variant(
        name=record.name,
        digest=record.digest,
        size_bytes=record.size_bytes,
        dry_run=record.dry_run,
        of_digest=record.optimised["of"],
        method=record.optimised["method"],
        measured=measured_message(record.optimised),
        lineage=lineage_message(record.lineage or {}),
        signer=record.signer,
        pinned=record.is_pinned,
    )
    message.lineage.parent = f"{record.model}@{record.version}"
    message.created_at.FromDatetime(record.created_at)
    return message


def measured_message(optimised: Mapping[str, Any]) -> registry_pb2.Measured:
    """What a variant's lepton.yaml says was measured of it."""
    (slowest, fastest), (best, worst) = optimised["speed_up_interval"], optimised["loss_interval"]
    same = ("cpu", "flags", "engine", "speed_up", "metric", "loss", "max_loss", "rows", "size_bytes", "memory_bytes")
    return registry_pb2.Measured(
        **{name: optimised[name] for name in same},
        speed_up_low=slowest,
        speed_up_high=fastest,
        loss_low=best,
        loss_high=worst,
    )


def lineage_message(lineage: Mapping[str, Any]) -> registry_pb2.Lineage:
    """Where a version comes from, as its package says."""
    texts = {name: lineage.get(name, "") for name in ("parent", "data", "data_digest", "run")}
    parameters = {name: json.dumps(value, ensure_ascii=False) for name, value in lineage.get("parameters", {}).items()}
    return registry_pb2.Lineage(
        **texts, rows=lineage.get("rows", 0), parameters=parameters, metrics=lineage.get("metrics", {})
    )


def state_value(state: VersionState) -> registry_pb2.ModelVersionState.ValueType:
    """The state as the contract numbers it."""
    return _STATES[state]


def push_message(record: PushRecord) -> registry_pb2.Push:
    """A push that has not made a version."""
    message = registry_pb2.Push(
        id=record.id,
        model=record.model,
        digest=record.digest,
        state=state_value(record.state),
        reason=record.reason,
        fix=record.fix,
        size_bytes=record.size_bytes,
        actor=record.actor,
    )
    message.started_at.FromDatetime(record.started_at)
    message.changed_at.FromDatetime(record.changed_at)
    return message


def manifest_message(record: VersionRecord | VariantRecord) -> registry_pb2.Manifest:
    """The manifest that was pushed."""
    files = [registry_pb2.PackageFile(path=f.path, size_bytes=f.size_bytes, sha256=f.sha256) for f in record.files]
    return registry_pb2.Manifest(model=record.model, files=files)


def file_records(manifest: registry_pb2.Manifest) -> tuple[FileRecord, ...]:
    """The files of a manifest, sorted by path."""
    files = (FileRecord(file.path, file.size_bytes, file.sha256) for file in manifest.files)
    return tuple(sorted(files, key=lambda file: file.path))


def deployment_message(
    record: DeploymentRecord,
    versions: Sequence[VersionRecord],
    policy: str = ORIGINALS,
    candidate: tuple[int, str] | None = None,
) -> registry_pb2.Deployment:
    """A deployment with all that a replica needs to fetch and route its versions, and the variants that it may use.

    `candidate`: version and name of the variant that a rollout brings in.
    """
    message = registry_pb2.Deployment(model=record.model, generation=record.generation)
    for version in versions:
        deployed = message.versions.add(
            version=version.version, digest=version.digest, manifest=manifest_message(version)
        )
        for variant in version.variants:
            is_candidate = (version.version, variant.name) == candidate
            if policy != ORIGINALS or variant.is_pinned or is_candidate:
                deployed.variants.add(
                    name=variant.name,
                    digest=variant.digest,
                    manifest=manifest_message(variant),
                    measured=measured_message(variant.optimised),
                    pinned=variant.is_pinned,
                    candidate=is_candidate,
                )
    if policy != ORIGINALS:
        message.variant_policy = registry_pb2.VariantPolicy.Value(f"VARIANT_POLICY_{policy.upper()}")
    routes: dict[str, registry_pb2.Route] = {}
    for target in record.routes:
        if target.alias not in routes:
            routes[target.alias] = message.routes.add(alias=target.alias)
        routes[target.alias].targets.add(version=target.version, weight=target.weight)
    return message


def read_variant_policy(policy: registry_pb2.VariantPolicy.ValueType) -> str:
    """Which variants a caller wants to let answer; empty where nothing is said. Raises InvalidInput."""
    if policy not in registry_pb2.VariantPolicy.values():
        raise InvalidInput.of_field("variants", f"{policy} is no policy", fix="Update the registry, or the client.")
    name = registry_pb2.VariantPolicy.Name(policy).removeprefix("VARIANT_POLICY_").lower()
    return "" if policy == registry_pb2.VARIANT_POLICY_UNSPECIFIED else name


def read_plan(message: registry_pb2.RolloutPlan) -> Plan:
    """The plan that a caller wishes for, unchecked."""
    metrics = (MetricGate(each.name, each.query, each.comparison, each.threshold) for each in message.metrics)
    return Plan(
        tuple(message.shares),
        message.step_s,
        message.bake_s,
        is_judged=not message.unjudged,
        shadow=message.shadow,
        sticky_by=message.sticky_by,
        metrics=tuple(metrics),
        margins=dict(message.margins),
    )


def plan_message(plan: Plan) -> registry_pb2.RolloutPlan:
    """The message that `read_plan` reads."""
    return registry_pb2.RolloutPlan(
        shares=plan.shares,
        step_s=plan.step_s,
        bake_s=plan.bake_s,
        unjudged=not plan.is_judged,
        shadow=plan.shadow,
        sticky_by=plan.sticky_by,
        metrics=[registry_pb2.MetricGate(**asdict(gate)) for gate in plan.metrics],
        margins=plan.margins,
    )


def rollout_message(record: RolloutRecord, decisions: Iterable[Decision] = ()) -> registry_pb2.Rollout:
    """A rollout as callers see it."""
    message = registry_pb2.Rollout(
        id=record.id,
        model=record.model,
        version=record.version,
        old_version=record.old_version,
        plan=plan_message(record.plan),
        state=registry_pb2.RolloutState.Value(f"ROLLOUT_STATE_{record.state.name}"),
        step=record.step,
        share=record.share,
        step_passed_s=record.passed_s,
        baking=record.is_live and record.state is State.PROMOTED,
        reason=record.reason,
        actor=record.actor,
        variant=record.variant,
        old_variant=record.old_variant,
        ended_by=record.ended_by,
    )
    if record.verdict is not None:
        _write_verdict(record.verdict, message.verdict)
    message.started_at.FromDatetime(record.started_at)
    message.changed_at.FromDatetime(record.changed_at)
    for decision in decisions:
        _write_decision(decision, message.decisions.add())
    return message


def _write_decision(decision: Decision, message: registry_pb2.RolloutDecision) -> None:
    message.state = registry_pb2.RolloutState.Value(f"ROLLOUT_STATE_{decision.state.name}")
    message.step, message.share = decision.step, decision.share
    message.actor, message.reason = decision.actor, decision.reason
    if decision.verdict is not None:
        _write_verdict(decision.verdict, message.verdict)
    message.decided_at.FromDatetime(decision.decided_at)


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
    found = [version for version in versions if version is not None]
    policy, rollout = await reading.variant_policy(model), await reading.live_rollout(model)
    if rollout is None or not rollout.state.is_under_way:
        return deployment_message(record, found, policy)
    message = deployment_message(record, found, policy, (rollout.version, rollout.variant))
    for route in message.routes if rollout.state.has_shares else ():
        if route.alias == PRODUCTION and rollout.version in {target.version for target in route.targets}:
            route.candidate, route.rollout = rollout.version, rollout.id
            route.shadow = rollout.plan.shadow if rollout.is_shadowing else 0
            route.sticky_by = "" if rollout.is_shadowing else rollout.plan.sticky_by
            if rollout.variant:
                route.candidate_variant, route.candidate_share = rollout.variant, rollout.share
    return message
