"""What the alert engine remembers: each record is written to the disk before anything follows from it, and shared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from lepton_ai.errors import InvalidInput
from services.health.alerts.firing import ALERT_NAME, SEVERITY
from services.health.alerts.memory.clock import Stamp
from services.health.metrics.series import Matcher

Text = Annotated[str, Field(max_length=4000)]
Words = Annotated[str, Field(max_length=300)]
Labels = Annotated[Mapping[Words, Words], Field(max_length=64)]
Severity = Literal["page", "ticket", "info"]


class Record(BaseModel):
    """Something with a name of its own that changes; a higher revision is newer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ClassVar[str]
    leaders: ClassVar[bool] = True
    """Whether only the leader writes it."""
    id: Words
    revision: int = 0


class Cause(BaseModel):
    """Something that is likely to have caused an alert, with what shows it."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["alert", "process", "change", "log", "errors", "machine"]
    text: Words
    """One sentence, with the numbers and times that speak for it."""
    see: Text = ""
    """Where there is more of it: the fingerprint of an alert, the number of a log template, or a PromQL expression."""


class AlertState(StrEnum):
    """Where an alert is in its life."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Record):
    """Something that is or was wrong; its id is the fingerprint of its labels."""

    kind = "alerts"
    labels: Labels
    annotations: Annotated[Mapping[Words, Text], Field(max_length=64)] = {}
    value: float = 0.0
    judge: Words
    state: AlertState
    pending_s: float = 0.0
    missed: int = 0
    """Rounds in which its judge has not found it any more."""
    began: Stamp
    fired: Stamp | None = None
    resolved: Stamp | None = None
    causes: Annotated[tuple[Cause, ...], Field(max_length=16)] = ()
    """What health found when it began to fire, the likeliest first; a judge's own words are among the annotations."""
    before: Alert | None = None
    """While it is pending: the alert that it was before, which it is again if it comes to nothing."""

    @property
    def name(self) -> str:
        return self.labels.get(ALERT_NAME, "")

    @property
    def severity(self) -> str:
        return self.labels.get(SEVERITY, "ticket")

    @property
    def is_firing(self) -> bool:
        return self.state is AlertState.FIRING

    @property
    def episode(self) -> str:
        """Names this time that it is wrong: when it is wrong again later, that is another one."""
        return f"{self.id}-{int(self.began.wall_s * 1000):x}"


class Acknowledgement(Record):
    """Somebody looks after an alert; its id is the alert's episode."""

    kind = "acknowledgements"
    leaders = False
    who: Words
    comment: Text = ""
    at: Stamp


class MatcherRecord(BaseModel):
    """A condition on one label."""

    model_config = ConfigDict(frozen=True)

    label: Words
    op: Literal["=", "!=", "=~", "!~"]
    value: Words

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            self.matcher.check()
        except InvalidInput as error:  # one of an earlier release, whose expressions were Python's
            raise ValueError(str(error)) from error
        return self

    @property
    def matcher(self) -> Matcher:
        return Matcher(self.label, self.op, self.value)


class Silence(Record):
    """Alerts that nobody wants to hear of for some time."""

    kind = "silences"
    leaders = False
    matchers: Annotated[tuple[MatcherRecord, ...], Field(min_length=1, max_length=20)]
    created: Stamp
    duration_s: Annotated[float, Field(gt=0, le=366 * 86400)]
    author: Words
    comment: Text = ""
    ended: Stamp | None = None
    """When somebody ended it before its time."""


class Group(Record):
    """What one receiver has been told of one group of alerts."""

    kind = "groups"
    receiver: Words
    group: Words
    opened: Stamp
    told: Stamp | None = None
    firing: tuple[Words, ...] = ()
    """Episodes of which the receiver knows that they fire."""
    count: int = 0
    """How often it was told something."""


class DeliveryState(StrEnum):
    """What has become of a notification."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """For good."""


class Delivery(Record):
    """A notification for one receiver: its id is its reason, the same at each attempt and from each replica."""

    kind = "deliveries"
    receiver: Words
    group: Words
    reason: Literal["firing", "resolved", "repeated", "escalated"]
    document: Mapping[str, JsonValue]
    """What is sent; see `notify.message`."""
    alerts: tuple[Words, ...] = ()
    """Fingerprints."""
    told: Group | None = None
    """What the receiver knows once it has this."""
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    created: Stamp
    due: Stamp
    finished: Stamp | None = None
    status: int | None = None
    """Of the last answer, where there is such a thing."""
    error: Text = ""


class Slo(Record):
    """What is promised of a model; its id is the model's name."""

    kind = "slos"
    leaders = False
    availability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the requests that must be answered."""
    latency_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    latency_share: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of the answers that must come within `latency_s`."""
    window_s: Annotated[float, Field(ge=86400, le=90 * 86400)] = 30 * 86400.0
    author: Words = ""
    source: Literal["cli", "package"] = "cli"
    removed: bool = False
    """Taken back: kept so that what the package says does not come back by itself."""


KINDS: Mapping[str, type[Record]] = {
    record.kind: record for record in (Alert, Acknowledgement, Silence, Delivery, Group, Slo)
}
"""In the order in which they are shared: whoever knows that a receiver was told knows the delivery that tells it."""


def fingerprint(labels: Mapping[str, str]) -> str:
    """The identity of an alert: sixteen hexadecimal digits of its sorted labels."""
    return digest(sorted(labels.items()))


def digest(parts: Sequence[object], length: int = 16) -> str:
    """Hexadecimal digits of the SHA-256 of things that JSON can hold."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:length]
