"""How a rollout goes on: by time, by what replicas say, and by what people ask. Pure functions on records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.v1 import health_pb2
from services.registry.rollouts.conditions import check_margins, check_metrics
from services.registry.rollouts.judging.verdicts import Outcome, Verdict
from services.registry.rollouts.record import WHOLE, Plan, RolloutRecord, State

_MAX_STEPS = 50
_MAX_STEP_S = 30 * 86400.0
_METADATA_KEY = re.compile(r"(?!grpc-)[a-z0-9_.-]{1,64}(?<!-bin)")
"""Of a text: gRPC keeps some for itself, and others for bytes."""


class Action(StrEnum):
    """What a person may ask of a rollout that is under way."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


@dataclass(frozen=True)
class Readiness:
    """Whether a version serves everywhere."""

    is_ready: bool
    failure: str = ""
    """Why it cannot be served, if a replica says so."""


def check_plan(plan: Plan) -> Plan:
    """Raises InvalidInput for a plan that is none."""
    rising = all(low < high for low, high in zip((0, *plan.shares), (*plan.shares, WHOLE + 1), strict=True))
    if not plan.steps or len(plan.steps) > _MAX_STEPS or not rising:
        raise InvalidInput.of_field(
            "plan.shares",
            f"must be 1 to {_MAX_STEPS} shares of at most 100 %, each larger than the one before",
            fix="For instance 5%,25%,50%.",
        )
    if plan.shadow > WHOLE:
        raise InvalidInput.of_field("plan.shadow", "is more than 100 %")
    _check_sticky(plan)
    check_metrics(plan.metrics)
    check_margins(plan.margins)
    for name, seconds in (("step_s", plan.step_s), ("bake_s", plan.bake_s)):
        if not 0 <= seconds <= _MAX_STEP_S:
            raise InvalidInput.of_field(f"plan.{name}", f"must be 0 to {_MAX_STEP_S:.0f} seconds")
    return plan


def readiness(record: RolloutRecord, replicas: Iterable[health_pb2.ServingState]) -> Readiness:
    """What the inference replicas say of the new version or variant. Without replicas it is not ready.

    It is not to blame where the old one fails as well.
    """
    serving = []
    for replica in replicas:
        new = _state_on(replica, record.model, record.version, record.variant)
        old = _state_on(replica, record.model, record.old_version, record.old_variant)
        if new.state == health_pb2.VERSION_STATE_FAILED != old.state:
            return Readiness(is_ready=False, failure=new.message or "a replica cannot load it")
        serving.append(new.state == health_pb2.VERSION_STATE_SERVING)
    return Readiness(is_ready=bool(serving) and all(serving))


def advance(record: RolloutRecord, seconds: float, version: Readiness, verdict: Verdict | None = None) -> RolloutRecord:
    """The record after so many seconds of watching. Only the time in which the version was watched counts.

    `verdict`: what is known of the new version; None where it is not judged.
    """
    if verdict is not None:
        record = replace(record, verdict=verdict.as_json())
    match record.state:
        case State.WAITING | State.RUNNING | State.PAUSED | State.HELD if version.failure:
            return _back(record, State.ROLLED_BACK, _says_unserved(record, version.failure))
        case State.WAITING if version.is_ready:
            return replace(record, state=State.RUNNING, step=0, passed_s=0.0, reason=_says_step(record, 0))
        case State.RUNNING | State.PAUSED | State.HELD if verdict is not None and verdict.outcome is Outcome.HARM:
            return _back(record, State.ROLLED_BACK, verdict.sentence)
        case State.RUNNING | State.HELD:
            return _run(replace(record, passed_s=record.passed_s + seconds), verdict)
        case State.PROMOTED:
            passed_s = record.passed_s + seconds
            return replace(record, passed_s=passed_s, is_live=passed_s < record.plan.bake_s)
        case _:
            return record


def act(record: RolloutRecord, action: Action, actor: str) -> RolloutRecord:
    """The record after a person asked for something. Raises FailedPrecondition when its state does not allow it."""
    match action, record.state:
        case Action.PAUSE, State.RUNNING | State.HELD:
            return replace(record, state=State.PAUSED, reason=f"paused by {actor}")
        case Action.RESUME, State.PAUSED:
            return replace(record, state=State.RUNNING, passed_s=0.0, reason=f"resumed by {actor}")
        case Action.PROMOTE, State.RUNNING | State.PAUSED | State.HELD:
            return replace(_promote(record, f"promoted by {actor}"), ended_by=actor)
        case Action.ABORT, State.WAITING | State.RUNNING | State.PAUSED | State.HELD:
            return replace(_back(record, State.ABORTED, f"aborted by {actor}"), ended_by=actor)
        case _:
            raise FailedPrecondition(
                f"A rollout that is {record.state.value.replace('_', ' ')} cannot be asked to {action.value}.",
                reason="ROLLOUT_STATE",
                fix="See `lepton rollout status`.",
            )


def give_back(record: RolloutRecord, actor: str) -> RolloutRecord:
    """The record once a person gave its old version all traffic again."""
    return replace(_back(record, State.ROLLED_BACK, f"rolled back by {actor}"), ended_by=actor)


def end(record: RolloutRecord, reason: str) -> RolloutRecord:
    """The record once its model is taken out of service, or something else is deployed."""
    return replace(record, is_live=False) if record.state is State.PROMOTED else _back(record, State.ABORTED, reason)


def weights(record: RolloutRecord) -> Mapping[int, int]:
    """The weight of each version in the production route; those without weight are left out, but a shadow."""
    if record.is_within_version:
        return {record.version: WHOLE}
    shares = {record.version: record.share, record.old_version: WHOLE - record.share}
    shadow = record.version if record.is_shadowing else 0
    return {version: share for version, share in shares.items() if share or version == shadow}


def _run(record: RolloutRecord, verdict: Verdict | None) -> RolloutRecord:
    if record.passed_s < record.plan.step_s:
        return record
    if verdict is not None and verdict.outcome is not Outcome.FINE:
        return replace(record, state=State.HELD, passed_s=0.0, reason=verdict.sentence[:2000])
    step = record.step + 1
    if step < len(record.plan.steps):
        # A shadow and a candidate that answers are judged by other counts: the judge of the latter begins with nothing.
        judge = None if record.is_shadowing else record.judge
        running = replace(record, state=State.RUNNING, step=step, passed_s=0.0, judge=judge)
        return replace(running, reason=_says_step(record, step))
    if record.plan.is_decided_by_people:
        return replace(record, state=State.HELD, passed_s=0.0, reason=_says_end(record, verdict))
    return _promote(record, "every step went well")


def _promote(record: RolloutRecord, reason: str) -> RolloutRecord:
    is_live = record.plan.bake_s > 0
    return replace(record, state=State.PROMOTED, passed_s=0.0, is_live=is_live, reason=reason, judge=None)


def _back(record: RolloutRecord, state: State, reason: str) -> RolloutRecord:
    return replace(record, state=state, passed_s=0.0, is_live=False, reason=reason[:2000], judge=None)


def _says_unserved(record: RolloutRecord, why: str) -> str:
    if record.variant:
        return f"variant {record.variant} cannot be served: {why}"
    return f"version {record.version} cannot be served: {why}"


def _says_step(record: RolloutRecord, step: int) -> str:
    plan = record.plan
    if plan.shadow and step == 0:
        gets = f"copies of {plan.shadow / WHOLE:.2%} of the calls, whose answers nobody gets"
    else:
        gets = f"{plan.steps[step] / WHOLE:.2%} of the traffic"
    return f"step {step + 1} of {len(plan.steps)}: {gets}"


def _says_end(record: RolloutRecord, verdict: Verdict | None) -> str:
    what = "A/B test" if record.plan.sticky_by else "shadow step"
    found = f" {verdict.sentence}" if verdict is not None else ""
    return f"The {what} is over, promote or abort.{found}"[:2000]


def _check_sticky(plan: Plan) -> None:
    if not plan.sticky_by:
        return
    if not _METADATA_KEY.fullmatch(plan.sticky_by):
        raise InvalidInput.of_field(
            "plan.sticky_by",
            f"{plan.sticky_by[:64]!r} is not a metadata key of a text",
            fix="Lower-case letters, digits, '-', '_' and '.', for instance user-id.",
        )
    if len(plan.shares) != 1:
        raise InvalidInput.of_field(
            "plan.shares", "an A/B test has one share", fix="Give one, for instance 50%, or no key."
        )


def _state_on(
    replica: health_pb2.ServingState, model: str, version: int, variant: str
) -> health_pb2.VersionStatus | health_pb2.VariantStatus:
    if variant:
        wanted = (model, version, variant)
        variants = (each for each in replica.variants if (each.model, each.version, each.variant) == wanted)
        return next(variants, health_pb2.VariantStatus())
    found = (each for each in replica.versions if (each.model, each.version) == (model, version))
    return next(found, health_pb2.VersionStatus())
