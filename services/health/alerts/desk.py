"""Where alerts are asked for and people take care of them: acknowledgements, silences, promises, tests of receivers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound, ResourceExhausted
from lepton_ai.references import check_name
from services.health.alerts.firing import ALERT_NAME, SEVERITY
from services.health.alerts.grouping import News
from services.health.alerts.memory.book import Happening
from services.health.alerts.memory.clock import Clock, elapsed_s, later
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import (
    Acknowledgement,
    Alert,
    AlertState,
    Delivery,
    MatcherRecord,
    Silence,
    Slo,
    fingerprint,
)
from services.health.alerts.muting import Muting, is_active, mute, silence_matches
from services.health.alerts.notify.message import Writer
from services.health.alerts.notify.outcome import Outcome
from services.health.alerts.notify.sender import NotificationSender
from services.health.alerts.receivers import Receiver, parse_matcher
from services.health.metrics.series import Matcher

_MAX_SILENCES, _MAX_SLOS, _MAX_MATCHERS, _MAX_COMMENT = 500, 1000, 20, 4000
_MAX_SILENCE_S = 366 * 86400.0
_URGENCY = ("page", "ticket", "info")


@dataclass(frozen=True)
class Seen:
    """An alert with all that is known about it."""

    alert: Alert
    acknowledgement: Acknowledgement | None
    silenced_by: str
    inhibited_by: str
    receivers: Sequence[str]


@dataclass(frozen=True)
class AlertDesk:
    """Every replica has one; what is ordered here reaches the leader through etcd."""

    ledger: Ledger
    sender: NotificationSender
    receivers: Mapping[str, Receiver]
    clock: Clock
    leads: Callable[[], bool]
    console_url: str = ""

    def find(self, states: Collection[AlertState] = (), matchers: Sequence[Matcher] = ()) -> list[Seen]:
        """Alerts in these states (default: not resolved) that all matchers mean, the most urgent first."""
        wanted = states or (AlertState.PENDING, AlertState.FIRING)
        muting = self._muting()
        found = [
            alert
            for alert in self.ledger.of(Alert).values()
            if alert.state in wanted and all(each.matches(alert.labels) for each in matchers)
        ]
        return [self._see(each, muting) for each in sorted(found, key=_by_urgency)]

    def get(self, identity: str) -> Seen:
        """The alert whose fingerprint begins like this. Raises NotFound, InvalidInput when there are several."""
        found = [each for key, each in self.ledger.of(Alert).items() if identity and key.startswith(identity)]
        if not found:
            raise NotFound(
                f"There is no alert {identity[:32]!r}.", reason="ALERT_NOT_FOUND", fix="`lepton alerts` lists them."
            )
        if len(found) > 1:
            raise InvalidInput.of_field("fingerprint", f"{len(found)} alerts begin so", fix="Give more of it.")
        return self._see(found[0], self._muting())

    async def history(self, alert: Alert, *, limit: int = 200) -> list[Happening]:
        """What happened to an alert, the newest first."""
        return await self.ledger.history(alert.id, limit=limit)

    async def acknowledge(self, identity: str, *, who: str, comment: str) -> Seen:
        """Say that somebody looks after an alert. Raises NotFound, FailedPrecondition for one that is over."""
        alert = self.get(identity).alert
        if alert.state is AlertState.RESOLVED:
            raise FailedPrecondition("This alert is over.", reason="ALERT_RESOLVED", fix="Nothing is to be done.")
        _check_comment(comment)
        known = self.ledger.of(Acknowledgement).get(alert.episode)
        now = self.clock.now()
        said = Acknowledgement(
            id=alert.episode, revision=known.revision if known else 0, who=who, comment=comment, at=now
        )
        detail = f"{who}: {comment}" if comment else who
        await self.ledger.save([said], history=[Happening(alert.id, now.wall_s, "acknowledged", detail)])
        return self.get(alert.id)

    async def silence(
        self, matchers: Sequence[str], *, duration_s: float, author: str, comment: str
    ) -> tuple[Silence, int]:
        """Have nobody told of what all matchers mean; returns how many alerts that are now, too.

        Raises InvalidInput, ResourceExhausted for too many silences.
        """
        parsed = [parse_matcher(each) for each in matchers]
        if not 1 <= len(parsed) <= _MAX_MATCHERS:
            raise InvalidInput.of_field("matchers", f"must be 1 to {_MAX_MATCHERS}", fix='As model="resnet".')
        if all(each.matches({}) for each in parsed):
            raise InvalidInput.of_field("matchers", "mean every alert", fix="Say which ones, or name no receivers.")
        if not 0 < duration_s <= _MAX_SILENCE_S:
            raise InvalidInput.of_field("duration", "must be more than none and at most a year")
        _check_comment(comment)
        if len(self.silences()) >= _MAX_SILENCES:
            raise ResourceExhausted(
                f"There are {_MAX_SILENCES} silences, which is the limit.", reason="TOO_MANY_SILENCES", fix="End some."
            )
        made = Silence(
            id=uuid.uuid4().hex[:12],
            matchers=tuple(MatcherRecord(label=each.label, op=each.op, value=each.value) for each in parsed),
            created=self.clock.now(),
            duration_s=duration_s,
            author=author,
            comment=comment,
        )
        await self.ledger.save([made])
        return made, self.silenced(made)

    def silences(self) -> list[Silence]:
        """Those in force, the newest first."""
        now = self.clock.now()
        active = [each for each in self.ledger.of(Silence).values() if is_active(each, now)]
        return sorted(active, key=lambda each: elapsed_s(each.created, now))

    def silenced(self, silence: Silence) -> int:
        """How many alerts a silence means that are not resolved."""
        return sum(silence_matches(silence, each.alert.labels) for each in self.find())

    async def end_silence(self, identity: str) -> Silence:
        """End a silence before its time. Raises NotFound."""
        found = next((each for each in self.silences() if each.id == identity), None)
        if found is None:
            raise NotFound(
                f"There is no silence {identity[:32]!r} in force.",
                reason="SILENCE_NOT_FOUND",
                fix="`lepton alerts silences` lists them.",
            )
        ended = found.model_copy(update={"ended": self.clock.now()})
        await self.ledger.save([ended])
        return ended

    def slos(self, model: str = "") -> list[Slo]:
        """What is promised, by name."""
        found = [each for each in self.ledger.of(Slo).values() if not each.removed and model in ("", each.id)]
        return sorted(found, key=lambda each: each.id)

    async def set_slo(self, slo: Slo) -> Slo:
        """Promise something of a model. Raises InvalidInput, ResourceExhausted."""
        check_name(slo.id, field="slo.model")
        if slo.availability is None and slo.latency_s is None:
            raise InvalidInput.of_field("slo", "promises nothing", fix="Give it an availability, a latency, or both.")
        known = self.ledger.of(Slo).get(slo.id)
        if known is None and len(self.slos()) >= _MAX_SLOS:
            raise ResourceExhausted(f"There are {_MAX_SLOS} objectives, which is the limit.", reason="TOO_MANY_SLOS")
        made = slo.model_copy(update={"revision": known.revision if known else 0, "source": "cli", "removed": False})
        await self.ledger.save([made])
        return self.ledger.of(Slo)[slo.id]

    async def remove_slo(self, model: str, *, who: str) -> None:
        """Take back what is promised of a model. Raises NotFound."""
        found = next(iter(self.slos(model)), None) if model else None
        if found is None:
            raise NotFound(f"Nothing is promised of {model[:64]!r}.", reason="SLO_NOT_FOUND", fix="`lepton slo list`.")
        await self.ledger.save([found.model_copy(update={"removed": True, "source": "cli", "author": who})])

    def deliveries(self, *, receiver: str = "", alert: str = "", limit: int) -> list[Delivery]:
        """Notifications, the newest first."""
        now = self.clock.now()
        found = [
            each
            for each in self.ledger.of(Delivery).values()
            if receiver in ("", each.receiver) and (not alert or alert in each.alerts)
        ]
        return sorted(found, key=lambda each: elapsed_s(each.created, now))[:limit]

    async def test(self, name: str) -> Outcome:
        """Send an example to a receiver, past the outbox. Raises NotFound."""
        receiver = self.receivers.get(name)
        if receiver is None:
            known = ", ".join(self.receivers) or "none"
            raise NotFound(
                f"There is no receiver {name[:64]!r}; there are {known}.",
                reason="RECEIVER_NOT_FOUND",
                fix="Receivers stand in the file that LEPTON_RECEIVERS_FILE names.",
            )
        now = self.clock.now()
        labels = {ALERT_NAME: "TestAlert", SEVERITY: "info", "service": "health"}
        texts = {"summary": "A test of this receiver: nothing is wrong. 这是一条测试通知。"}
        alert = Alert(
            id=fingerprint(labels),
            labels=labels,
            annotations=texts,
            judge="test",
            state=AlertState.FIRING,
            began=now,
            fired=now,
            # An Alertmanager that shows it forgets it soon.
            resolved=later(now, 60.0) if receiver.kind == "alertmanager" else None,
        )
        document = Writer(now, console_url=self.console_url).write(News(receiver, "test", "firing", [alert], []))
        identity = uuid.uuid4().hex
        delivery = Delivery(
            id=identity, receiver=name, group="test", reason="firing", document=document, created=now, due=now
        )
        return await self.sender.test(receiver, delivery)

    def _muting(self) -> Muting:
        return mute(self.ledger.of(Alert).values(), self.ledger.of(Silence).values(), self.clock.now())

    def _see(self, alert: Alert, muting: Muting) -> Seen:
        return Seen(
            alert,
            self.ledger.of(Acknowledgement).get(alert.episode),
            muting.silenced.get(alert.id, ""),
            muting.inhibited.get(alert.id, ""),
            [each.name for each in self.receivers.values() if each.wants(alert.labels, alert.severity)],
        )


def _by_urgency(alert: Alert) -> tuple[bool, int, float]:
    urgency = _URGENCY.index(alert.severity) if alert.severity in _URGENCY else len(_URGENCY)
    return not alert.is_firing, urgency, alert.began.wall_s


def _check_comment(comment: str) -> None:
    if len(comment) > _MAX_COMMENT:
        raise InvalidInput.of_field("comment", f"has more than {_MAX_COMMENT:,} characters")
