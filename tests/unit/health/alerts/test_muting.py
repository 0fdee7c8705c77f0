"""What nobody is told of: silenced, or a mere consequence."""

from __future__ import annotations

from graphlib import TopologicalSorter

from services.health.alerts.memory.records import Alert, MatcherRecord, Silence
from services.health.alerts.muting import INHIBITIONS, mute
from tests.unit.health.alerts.making import alert, at


def silence(*matchers: tuple[str, str, str], duration_s: float = 3600.0) -> Silence:
    names = ("label", "op", "value")
    parsed = tuple(MatcherRecord.model_validate(dict(zip(names, each, strict=True))) for each in matchers)
    return Silence(id="s", matchers=parsed, created=at(0), duration_s=duration_s, author="anna")


def hidden(*alerts: Alert) -> set[str]:
    muting = mute(alerts, [], at(1))
    names = {each.id: each.labels.get("model", each.labels.get("instance", "")) for each in alerts}
    return {f"{each.name} {names[each.id]}" for each in alerts if each in muting}


def test_a_silence_mutes_what_all_its_matchers_mean() -> None:
    cats, dogs = alert(model="cats"), alert(model="dogs")
    muting = mute([cats, dogs], [silence(("model", "=", "cats"), ("severity", "=~", "page|ticket"))], at(1))
    assert muting.silenced == {cats.id: "s"}
    assert mute([cats], [silence(("model", "=", "cats"), ("severity", "!=", "page"))], at(1)).silenced == {}


def test_a_silence_ends_in_its_time_and_not_when_the_clock_is_set() -> None:
    cats, quiet = alert(model="cats"), silence(("model", "=", "cats"), duration_s=3600)
    assert cats in mute([cats], [quiet], at(10, wall_ahead_s=7200))
    assert cats in mute([cats], [quiet], at(3599, wall_ahead_s=-7200))
    assert cats not in mute([cats], [quiet], at(3600))


def test_a_silence_that_was_ended_mutes_nothing() -> None:
    cats = alert(model="cats")
    ended = silence(("model", "=", "cats")).model_copy(update={"ended": at(5)})
    assert cats not in mute([cats], [ended], at(6))


def test_consequences_of_a_cause_are_hidden_where_the_labels_agree() -> None:
    replica = alert("ReplicaDown", "ticket", service="inference", instance="a:1")
    assert hidden(alert("EtcdDown", service="etcd"), replica) == {"ReplicaDown a:1"}
    burn, other = (alert("LatencyBurn", model=name) for name in ("cats", "dogs"))
    assert hidden(alert("ModelDown", model="cats"), burn, other) == {"LatencyBurn cats"}
    same = alert("ReplicaDown", "ticket", service="registry", instance="b:1")
    assert hidden(alert("ServiceDown", service="registry"), same, replica) == {"ReplicaDown b:1"}


def test_of_one_budget_the_page_hides_the_ticket_and_not_the_reverse() -> None:
    page, ticket = alert("AvailabilityBurn", "page", model="cats"), alert("AvailabilityBurn", "ticket", model="cats")
    muting = mute([page, ticket], [], at(1))
    assert ticket in muting
    assert page not in muting


def test_a_cause_that_is_over_hides_nothing() -> None:
    down, burn = alert("ModelDown", model="cats"), alert("LatencyBurn", model="cats")
    over = down.model_copy(update={"state": "resolved"})
    assert burn not in mute([over, burn], [], at(1))


def test_no_two_alerts_can_hide_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for rule in INHIBITIONS:
        for name in rule.hidden - {rule.cause}:
            graph.setdefault(name, set()).add(rule.cause)
    assert list(TopologicalSorter(graph).static_order())
    assert all(rule.cause_severity not in rule.severities for rule in INHIBITIONS if rule.cause in rule.hidden)
