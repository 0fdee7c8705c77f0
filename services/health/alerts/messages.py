"""Records as the messages that callers see, and back."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from lepton_ai.errors import InvalidInput
from lepton_ai.v1 import alerts_pb2 as pb
from services.health.alerts.causes.ranking import command_of
from services.health.alerts.desk import AlertDesk, Seen
from services.health.alerts.memory.book import Happening
from services.health.alerts.memory.clock import Stamp, later
from services.health.alerts.memory.records import Delivery, DeliveryState, Silence, Slo
from services.health.alerts.notify.message import whom_of
from services.health.alerts.receivers import Receiver
from services.health.alerts.slo.judge import Standing

_MIN_WINDOW_S, _MAX_WINDOW_S, _USUAL_WINDOW_S = 86_400.0, 90 * 86_400.0, 30 * 86_400.0
_USUAL_SHARE, _MAX_LATENCY_S = 0.99, 3600.0


def alert(seen: Seen) -> pb.Alert:
    """An alert with what is known about it."""
    record, whom = seen.alert, whom_of(seen.alert)
    message = pb.Alert(
        fingerprint=record.id,
        state=pb.AlertState.Value(f"ALERT_STATE_{record.state.name}"),
        labels=record.labels,
        annotations={**record.annotations, "impact": whom} if whom else record.annotations,
        value=record.value,
        silenced_by=seen.silenced_by,
        inhibited_by=seen.inhibited_by,
        receivers=seen.receivers,
        judge=record.judge,
        causes=[
            pb.Cause(kind=each.kind, text=each.text, see=each.see, command=command_of(each)) for each in record.causes
        ],
    )
    message.began_at.CopyFrom(_time(record.began))
    if record.fired is not None:
        message.fired_at.CopyFrom(_time(record.fired))
    if record.resolved is not None:
        message.resolved_at.CopyFrom(_time(record.resolved))
    if seen.acknowledgement is not None:
        said = seen.acknowledgement
        message.acknowledgement.CopyFrom(pb.Acknowledgement(who=said.who, comment=said.comment, at=_time(said.at)))
    return message


def happening(happened: Happening) -> pb.AlertHappening:
    """A line of the history."""
    message = pb.AlertHappening(what=happened.what, detail=happened.detail)
    message.at.FromMilliseconds(round(happened.at_s * 1000))
    return message


def silence(record: Silence, alerts: int) -> pb.Silence:
    """A silence that means so many alerts now."""
    matchers = [f'{each.label}{each.op}"{each.value}"' for each in record.matchers]
    message = pb.Silence(id=record.id, matchers=matchers, author=record.author, comment=record.comment, alerts=alerts)
    message.created_at.CopyFrom(_time(record.created))
    message.until.CopyFrom(_time(record.ended or later(record.created, record.duration_s)))
    return message


def notification(record: Delivery) -> pb.Notification:
    """A notification."""
    message = pb.Notification(
        id=record.id,
        receiver=record.receiver,
        group=record.group,
        reason=record.reason,
        title=str(record.document.get("title", "")),
        text=str(record.document.get("text", "")),
        state=pb.NotificationState.Value(f"NOTIFICATION_STATE_{record.state.name}"),
        attempts=record.attempts,
        status=record.status or 0,
        error=record.error,
        alerts=record.alerts,
    )
    message.created_at.CopyFrom(_time(record.created))
    if record.finished is not None:
        message.finished_at.CopyFrom(_time(record.finished))
    else:
        message.due_at.CopyFrom(_time(record.due))
    return message


def receiver(found: Receiver, desk: AlertDesk) -> pb.ReceiverStatus:
    """A receiver without its address, which is a secret."""
    told = desk.deliveries(receiver=found.name, limit=1000)
    pending = [each for each in told if each.state is DeliveryState.PENDING]
    message = pb.ReceiverStatus(
        name=found.name,
        kind=found.kind,
        severities=found.severities,
        matchers=found.matchers,
        pending=len(pending),
        error=next((each.error for each in told if each.attempts), ""),
    )
    if found.escalate_after_s is not None:
        message.escalate_after.FromMilliseconds(round(found.escalate_after_s * 1000))
    return message


def slo(record: Slo) -> pb.Slo:
    """What is promised of a model."""
    message = pb.Slo(model=record.id, source=record.source, author=record.author)
    message.window.FromMilliseconds(round(record.window_s * 1000))
    if record.availability is not None:
        message.availability = record.availability
    if record.latency_s is not None:
        message.latency_share = record.latency_share
        message.latency.FromMilliseconds(round(record.latency_s * 1000))
    return message


def slo_record(message: pb.Slo, *, author: str) -> Slo:
    """What is to be promised. Raises InvalidInput."""
    window_s = message.window.ToMilliseconds() / 1000 if message.HasField("window") else _USUAL_WINDOW_S
    latency_s = message.latency.ToMilliseconds() / 1000 if message.HasField("latency") else None
    availability = message.availability if message.HasField("availability") else None
    share = message.latency_share if message.HasField("latency_share") else _USUAL_SHARE
    for field, value in (("availability", availability), ("latency_share", share)):
        if value is not None and not 0 < value < 1:
            raise InvalidInput.of_field(f"slo.{field}", f"is {value:g}", fix="A share between 0 and 1, as 0.999.")
    if latency_s is not None and not 0 < latency_s <= _MAX_LATENCY_S:
        raise InvalidInput.of_field("slo.latency", "must be more than none and at most an hour")
    if not _MIN_WINDOW_S <= window_s <= _MAX_WINDOW_S:
        raise InvalidInput.of_field("slo.window", "must be 1 to 90 days")
    return Slo(
        id=message.model[:300],
        availability=availability,
        latency_s=latency_s,
        latency_share=share,
        window_s=window_s,
        author=author,
    )


def standing(found: Standing) -> pb.SloStatus:
    """How an objective stands."""
    return pb.SloStatus(
        objective=found.objective,
        requests=found.count.requests,
        bad=found.count.bad,
        budget_left=found.budget_left,
        burn_rates=found.burn_rates,
        coverage=found.coverage,
    )


def _time(stamp: Stamp) -> Timestamp:
    message = Timestamp()
    message.FromMilliseconds(round(stamp.wall_s * 1000))
    return message
