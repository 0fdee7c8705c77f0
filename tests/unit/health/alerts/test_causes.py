"""What is likely to have caused an alert, from what was known when it began."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pytest

from lepton_ai.errors import Unavailable
from services.health.alerts import messages
from services.health.alerts.causes.clues import suspects
from services.health.alerts.causes.evidence import Evidence, LoggedKind, Pressure
from services.health.alerts.causes.explaining import Explainer, Witnesses
from services.health.alerts.causes.layers import LAYER_OF, weights_of
from services.health.alerts.causes.queries import HOGS, PRESSURES
from services.health.alerts.causes.ranking import command_of, rank
from services.health.alerts.desk import Seen
from services.health.alerts.grouping import News
from services.health.alerts.memory.records import Alert, Cause
from services.health.alerts.notify.message import Writer, alert_document
from services.health.events.event import Event
from services.health.metrics.series import NAME, Matcher, Series
from services.health.promql.rules.file import read_rules
from services.health.promql.values import Sample
from tests.unit.health.alerts.conftest import MakeWorld
from tests.unit.health.alerts.making import START_S, alert, at, firing, receiver

TRITON = {"service": "triton", "instance": "10.0.0.1:8500"}
FAILS = alert("ModelErrors", model="cats", version="2")


def evidence(**more: object) -> Evidence:
    return Evidence(START_S + 5, **more)  # type: ignore[arg-type]


def texts(of: Alert, **more: object) -> list[str]:
    return [each.text for each in rank(of, evidence(**more))]


def restarts(*before_s: float) -> list[Event]:
    title = "the Triton of 10.0.0.1:8500 was started anew"
    return [Event(START_S - each, "restart", title, TRITON) for each in before_s]


def logged(text: str, *, service: str = "inference", first_s: float = START_S - 10, count: int = 3) -> LoggedKind:
    return LoggedKind(7, service, False, text, first_s, START_S - 1, count)


def test_restarts_on_the_path_of_a_model_explain_its_errors_better_than_an_old_deployment() -> None:
    deployed = Event(START_S - 1500, "deploy", "cats is served: version 2 is production", {"model": "cats"}, "anna")
    assert texts(FAILS, changes=[*restarts(10, 20, 30), deployed]) == [
        "At 07:59:50 UTC, the last of 3 times: the Triton of 10.0.0.1:8500 was started anew",
        "At 07:35:00 UTC, by anna: cats is served: version 2 is production",
    ]


def test_a_deployment_just_before_comes_first_and_that_of_another_model_not_at_all() -> None:
    ours = Event(START_S - 5, "deploy", "cats is served", {"model": "cats"})
    others = Event(START_S - 5, "deploy", "dogs is served", {"model": "dogs"})
    errors = [Sample({"model": "cats", "version": "2", "code": "INTERNAL"}, 40.2)]
    assert texts(FAILS, changes=[others, ours], failures=errors) == [
        "At 07:59:55 UTC: cats is served",
        "Calls that failed in 5 min: INTERNAL 40; most of them as the model or its pipeline failed.",
    ]


def test_an_alert_of_a_lower_layer_explains_one_of_a_higher_and_never_the_other_way() -> None:
    disk = alert("EtcdSlow", "ticket", since=at(-20), instance="etcd")
    burst = alert("LogBurst", "ticket", service="etcd", template="5")
    assert texts(burst, alerts=[disk, burst]) == ["An alert since 07:59:40 UTC: EtcdSlow it is"]
    assert texts(disk, alerts=[disk, burst]) == []


def test_what_was_over_minutes_ago_still_counts_and_what_was_over_hours_ago_does_not() -> None:
    def over(began: float, ended: float) -> Alert:
        down = alert("TritonDown", "ticket", since=at(began), service="inference", instance="10.0.0.1:8500")
        return down.model_copy(update={"resolved": at(ended)})

    assert texts(FAILS, alerts=[over(-200, -150)]) == ["An alert from 07:56:40 to 07:57:30 UTC: TritonDown it is"]
    assert texts(FAILS, alerts=[over(-9000, -7200)]) == []


def test_what_users_see_of_a_fault_comes_after_the_fault() -> None:
    burns = alert("AvailabilityBurn", model="cats", window="1h")
    seen = alert("ModelDown", since=at(-1), model="cats")
    fault = alert("TritonRestarts", "ticket", since=at(-100), replica="10.0.0.1:8500")
    assert [each[29:] for each in texts(burns, alerts=[seen, fault])] == ["TritonRestarts it is", "ModelDown it is"]
    assert texts(fault, changes=restarts(5)) == []


def test_of_a_storm_the_deepest_and_newest_alerts_are_looked_at() -> None:
    storm = [alert("ModelErrors", since=at(each), model=f"m{each}") for each in range(300)]
    root = alert("EtcdDown", since=at(-50))
    over = alert("TritonDown", since=at(-9000), service="inference").model_copy(update={"resolved": at(-8000)})
    found = suspects([*storm, over, root], START_S + 300)
    assert len(found) == 100
    assert [each.labels.get("model", each.name) for each in found[:2]] == ["EtcdDown", "m299"]
    assert over not in found


def test_the_same_trouble_elsewhere_is_no_cause() -> None:
    ours = alert("TritonDown", "ticket", service="inference", instance="10.0.0.2:8500")
    assert texts(ours, changes=restarts(5)) == []
    registry = alert("ServiceDown", since=at(-5), service="registry")
    assert texts(FAILS, alerts=[registry]) == []


def test_slowness_is_the_machines_before_it_is_anything_elses() -> None:
    busy = Pressure("The CPUs of vm are busy: 97.6%.", "1 - x", 0.8)
    slow = alert("ModelSlow", "ticket", model="cats", version="2")
    assert texts(slow, pressures=[busy], logs=[logged("queue is long")]) == [
        "The CPUs of vm are busy: 97.6%.",
        "New in the log of inference, 3 ×: queue is long",
    ]


def test_what_each_start_warns_of_does_not_explain_that_there_are_many() -> None:
    often = alert("TritonRestarts", "ticket", replica="10.0.0.1:8500")
    warned = logged("no memory is pinned", service="triton-1")
    failed = replace(logged("Failed to run the model", service="triton-1"), is_error=True)
    assert texts(often, logs=[warned, failed]) == ["New in the log of triton-1, 3 ×: Failed to run the model"]


def test_new_log_records_of_its_services_are_named_and_old_ones_elsewhere_are_not() -> None:
    said = texts(
        alert("TritonDown", "ticket", service="inference", instance="10.0.0.1:8500"),
        logs=[
            logged("CUDA out of memory", service="triton-1"),
            logged("somebody pushed", service="registry"),
            logged("Triton does not answer any more: <*>", first_s=START_S - 90_000, count=1),
        ],
    )
    assert said == [
        "New in the log of triton-1, 3 ×: CUDA out of memory",
        "In the log of inference, 1 ×: Triton does not answer any more: <*>",
    ]


def test_of_a_full_machine_it_says_who_takes_most() -> None:
    hog = Pressure("registry at 10.0.0.1:8510 takes most memory: 9GiB.", "topk(1, x)", 1.0, "memory")
    busy = Pressure("registry at 10.0.0.1:8510 takes most CPU: 1.20 cores.", "topk(1, y)", 1.0, "CPU")
    assert texts(alert("MemoryLow", instance="vm", service="host"), hogs=[busy, hog]) == [hog.text]


def test_at_most_four_are_told_two_of_a_kind() -> None:
    silent = [{"service": "triton", "instance": f"10.0.0.{each}:8500"} for each in range(9)]
    errors = [Sample({"model": "cats", "version": "2", "code": "UNAVAILABLE"}, 9.0)]
    found = rank(FAILS, evidence(silent=silent, changes=restarts(1), failures=errors, logs=[logged("a"), logged("b")]))
    assert [each.kind for each in found] == ["process", "errors", "process", "log"]


def test_what_says_itself_what_is_wrong_is_not_explained() -> None:
    assert texts(alert("CertificateExpires", "ticket", service="registry"), changes=restarts(1)) == []


def test_every_alert_of_a_model_in_the_rule_file_is_explained() -> None:
    named = {rule.alert for group in read_rules() for rule in group.rules if rule.alert}
    of_model = {name for name in named if name.startswith("Model")}
    assert of_model
    assert all(weights_of(name) for name in of_model | set(LAYER_OF))


@pytest.mark.parametrize(
    ("kind", "see", "command"),
    [
        ("alert", "0123456789abcdef", "lepton alerts show 01234567"),
        ("log", "12", "lepton logs --template 12"),
        ("change", "", "lepton events --since 1h"),
        ("machine", "x{a='b'} > 1", "lepton metrics 'x{a='\"'\"'b'\"'\"'} > 1' --since 1h"),
    ],
)
def test_each_has_a_command_that_shows_it(kind: str, see: str, command: str) -> None:
    assert command_of(Cause.model_validate({"kind": kind, "text": "x", "see": see})) == command


def test_a_notification_tells_them_in_order_and_no_change_twice() -> None:
    deployed = Event(START_S - 5, "deploy", "cats is served", {"model": "cats"})
    told = FAILS.model_copy(update={"causes": rank(FAILS, evidence(changes=[deployed], logs=[logged("boom")]))})
    said = str(
        Writer(at(5), {told.id: told}, changes=[deployed]).write(News(receiver(), "g", "firing", [told], []))["text"]
    )
    assert "Likely cause: At 07:59:55 UTC: cats is served (lepton events --since 1h)" in said
    assert "Perhaps: New in the log of inference, 3 ×: boom (lepton logs --template 7)" in said
    assert "Shortly before" not in said
    assert "boom" in str(alert_document(told)["annotations"])


def test_callers_get_them_with_their_commands() -> None:
    told = FAILS.model_copy(update={"causes": rank(FAILS, evidence(logs=[logged("boom")]))})
    (cause,) = messages.alert(Seen(told, None, "", "", [])).causes
    assert (cause.kind, cause.see, cause.command) == ("log", "7", "lepton logs --template 7")


class Memory:
    """Everything that an explainer may ask; `fault` is what it is answered then."""

    def __init__(self, *changes: Event, fault: Exception | None = None) -> None:
        self.changes = changes
        self.fault = fault
        self.asked = 0

    async def find(self, *, start_s: float, end_s: float, kinds: Collection[str], limit: int) -> Sequence[Event]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return [each for each in self.changes if start_s <= each.time_s <= end_s and each.kind in kinds][:limit]

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        up = {NAME: "up", **TRITON}
        is_asked = all(each.matches(up) for each in matchers)
        return [Series(up, np.array([end_s]), np.array([0.0]))] if is_asked else []


async def test_it_is_looked_for_when_an_alert_fires_and_some_times_more_and_then_left_alone() -> None:
    memory = Memory(*restarts(2))
    explainer = Explainer(Witnesses(memory, memory))
    (found,) = await explainer.explain([FAILS], at(0))
    assert [each.kind for each in found.causes] == ["process", "process"]
    assert found.causes[0].text == "The triton at 10.0.0.1:8500 does not answer when it is measured."
    assert await explainer.explain([found], at(5)) == []
    assert await explainer.explain([found], at(11)) == []  # nothing new
    assert memory.asked == 2
    await explainer.explain([found], at(61))
    assert memory.asked == 2


async def test_what_cannot_be_asked_is_left_out() -> None:
    explainer = Explainer(Witnesses(Memory(), Memory(fault=Unavailable("no"))))
    (found,) = await explainer.explain([FAILS], at(0))
    assert [each.text for each in found.causes] == ["The triton at 10.0.0.1:8500 does not answer when it is measured."]
    assert await Explainer(Witnesses()).explain([FAILS], at(0)) == []


async def test_causes_are_told_and_survive_a_kill(make_world: MakeWorld) -> None:
    world = make_world()
    world.engine._explainer = Explainer(Witnesses(changes=Memory(*restarts(2))))
    page = firing("ModelErrors", model="cats", version="2")
    await world.round(0, page)
    assert len(await world.round(3, page)) == 1
    assert "Likely cause: At 07:59:58 UTC: the Triton of" in str(world.sender.sent[0].document["text"])
    world.open()
    (kept,) = world.ledger.of(Alert).values()
    assert kept.causes[0].kind == "process"


def test_every_number_that_is_told_has_a_sentence() -> None:
    labels = {"service": "registry", "instance": "10.0.0.1:8510", "mountpoint": "/data"}
    for gauge in (*PRESSURES, *HOGS):
        assert "10.0.0.1:8510" in gauge.write(labels, 0.97)
