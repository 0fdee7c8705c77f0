"""Which alerts nobody is told of: silenced by somebody, or a mere consequence of another alert. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.health.alerts.memory.clock import Stamp, elapsed_s
from services.health.alerts.memory.records import Alert, Silence


@dataclass(frozen=True)
class Inhibition:
    """While an alert named `cause` fires, those named in `hidden` are not told where the labels `equal` are the same.

    A label that only one of both has must not be among `equal`. Alertmanager's inhibition rules, by name.
    """

    cause: str
    hidden: frozenset[str]
    equal: tuple[str, ...] = ()
    severities: frozenset[str] = field(default_factory=lambda: frozenset({"page", "ticket", "info"}))
    """Of the hidden ones."""
    cause_severity: str = ""
    """Of the cause; empty: any."""


_OF_MODELS = frozenset({"ModelDown", "ModelDegraded", "AvailabilityBurn", "LatencyBurn"})
INHIBITIONS: tuple[Inhibition, ...] = (
    # Who cannot see says nothing of what he would see.
    Inhibition("HealthBlind", frozenset({"EtcdDown", "ServiceDown", "ServiceDegraded", "ReplicaDown", *_OF_MODELS})),
    Inhibition("EtcdDown", frozenset({"ServiceDown", "ServiceDegraded", "ReplicaDown", "ModelDegraded"})),
    Inhibition("SupervisorDown", frozenset({"ServiceDegraded", "ReplicaDown", "TritonDown"})),
    Inhibition("InferenceDown", frozenset({"TritonDown", *_OF_MODELS})),
    Inhibition("ServiceDown", frozenset({"ServiceDegraded", "ReplicaDown"}), ("service",)),
    Inhibition("InferenceDown", frozenset({"ServiceDegraded", "ReplicaDown"}), ("service",)),
    Inhibition("ReplicaDown", frozenset({"TritonDown", "ReplicaAnomaly", "ReplicaSlow"}), ("instance",)),
    Inhibition("ModelDown", frozenset({"ModelDegraded", "AvailabilityBurn", "LatencyBurn"}), ("model",)),
    # Of one budget, the fast fire says all.
    Inhibition(
        "AvailabilityBurn", frozenset({"AvailabilityBurn"}), ("model",), frozenset({"ticket"}), cause_severity="page"
    ),
    Inhibition("LatencyBurn", frozenset({"LatencyBurn"}), ("model",), frozenset({"ticket"}), cause_severity="page"),
)


@dataclass(frozen=True)
class Muting:
    """What is not told."""

    silenced: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint → id of the silence."""
    inhibited: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint → fingerprint of the cause."""

    def __contains__(self, alert: Alert) -> bool:
        return alert.id in self.silenced or alert.id in self.inhibited

    def hidden_by(self, alert: Alert) -> list[str]:
        """Fingerprints of the alerts that this one hides."""
        return [hidden for hidden, cause in self.inhibited.items() if cause == alert.id]


def mute(
    alerts: Iterable[Alert], silences: Iterable[Silence], now: Stamp, rules: Sequence[Inhibition] = INHIBITIONS
) -> Muting:
    """What is not told of these alerts at this moment."""
    known = list(alerts)
    active = [silence for silence in silences if is_active(silence, now)]
    silenced = {alert.id: silence.id for alert in known for silence in active if silence_matches(silence, alert.labels)}
    return Muting(silenced, _inhibited([alert for alert in known if alert.is_firing], rules))


def is_active(silence: Silence, now: Stamp) -> bool:
    """Whether a silence is in force: by the steady clock, so that a clock that is set ends none."""
    return silence.ended is None and elapsed_s(silence.created, now) < silence.duration_s


def silence_matches(silence: Silence, labels: Mapping[str, str]) -> bool:
    """Whether all its matchers mean an alert with these labels."""
    return all(each.matcher.matches(labels) for each in silence.matchers)


def _inhibited(firing: Sequence[Alert], rules: Sequence[Inhibition]) -> Mapping[str, str]:
    """Fingerprint → fingerprint of the cause, by the first rule that fits; causes are looked up, there may be many."""
    causes: dict[tuple[int, tuple[str, ...]], list[str]] = defaultdict(list)
    for alert in firing:
        for place, rule in enumerate(rules):
            if alert.name == rule.cause and rule.cause_severity in ("", alert.severity):
                causes[place, _values(alert, rule)].append(alert.id)
    inhibited: dict[str, str] = {}
    for alert in firing if causes else ():
        for place, rule in enumerate(rules):
            if alert.name in rule.hidden and alert.severity in rule.severities:
                cause = next((each for each in causes.get((place, _values(alert, rule)), ()) if each != alert.id), None)
                if cause is not None:
                    inhibited.setdefault(alert.id, cause)
    return inhibited


def _values(alert: Alert, rule: Inhibition) -> tuple[str, ...]:
    return tuple(alert.labels.get(label, "") for label in rule.equal)
