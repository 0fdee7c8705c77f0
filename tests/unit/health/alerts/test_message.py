"""What a notification says."""

from __future__ import annotations

from services.health.alerts.grouping import News
from services.health.alerts.memory.records import Alert
from services.health.alerts.muting import Muting
from services.health.alerts.notify.message import Writer
from services.health.events.event import Event
from tests.unit.health.alerts.making import START_S, alert, at, receiver


def told(*firing: Alert, resolved: tuple[Alert, ...] = (), reason: str = "firing", **more: object) -> dict[str, object]:
    writer = Writer(at(150), {each.id: each for each in (*firing, *resolved)}, **more)  # type: ignore[arg-type]
    news = News(receiver(), "group", reason, list(firing), list(resolved))  # type: ignore[arg-type]
    return dict(writer.write(news))


def text(*firing: Alert, **more: object) -> str:
    return str(told(*firing, **more)["text"])  # type: ignore[arg-type]


CATS = alert(model="cats").model_copy(
    update={
        "annotations": {
            "summary": "模型 cats 不回答。",
            "cause": "version 5 cannot be loaded",
            "impact": "callers of cats",
            "share": "0.25",
            "runbook": "docs/alerts.md#modeldown",
            "query": "rate(x[5m])",
            "trace_id": "ab12",
        }
    }
)


def test_it_says_what_since_when_for_whom_how_bad_why_and_what_to_do() -> None:
    said = text(CATS, console_url="https://lepton.example.org/")
    for line in (
        "模型 cats 不回答。",
        "Since 2027-01-15 08:00:00 UTC, 2 min 30 s",
        "For whom: callers of cats",
        "How bad: 25.0% of requests",
        "Likely cause: version 5 cannot be loaded",
        "What to do: docs/alerts.md#modeldown",
        f"See: https://lepton.example.org/alerts/{CATS.id}",
        "Query: rate(x[5m])",
        "Chart: https://lepton.example.org/metrics?q=rate%28x%5B5m%5D%29",
        "Trace: lepton trace ab12, https://lepton.example.org/traces/ab12",
    ):
        assert line in said
    assert told(CATS)["title"] == "[page] 模型 cats 不回答。"


def test_without_a_console_there_are_commands_and_no_links() -> None:
    lines = text(CATS).splitlines()
    assert {"Query: rate(x[5m])", "Trace: lepton trace ab12"} <= set(lines)
    assert not any("http" in line for line in lines)


def test_changes_shortly_before_of_the_same_thing_are_named() -> None:
    changes = [
        Event(START_S - 60, "deploy", "cats@production is version 5 now", {"model": "cats"}, "anna"),
        Event(START_S - 60, "deploy", "dogs@production is version 2 now", {"model": "dogs"}),
        Event(START_S - 7200, "deploy", "cats@production is version 4 now", {"model": "cats"}),
        Event(START_S + 60, "deploy", "cats@production is version 6 now", {"model": "cats"}),
    ]
    said = text(CATS, changes=changes)
    assert "Shortly before: cats@production is version 5 now (by anna), 07:59:00 UTC" in said
    assert said.count("Shortly before") == 1


def test_what_it_hides_is_named() -> None:
    hidden = [alert("LatencyBurn", model=f"m{each}") for each in range(7)]
    muting = Muting(inhibited={each.id: CATS.id for each in hidden})
    writer = Writer(at(1), {each.id: each for each in (CATS, *hidden)}, muting)
    said = str(writer.write(News(receiver(), "g", "firing", [CATS], []))["text"])
    assert "Follows from it, and is not told by itself: LatencyBurn (m0)" in said
    assert "and 2 more" in said


def test_that_it_is_over_is_said_with_its_time() -> None:
    over = CATS.model_copy(update={"state": "resolved", "resolved": at(120)})
    document = told(resolved=(over,), reason="resolved")
    assert document["title"] == "[over] 模型 cats 不回答。"
    assert document["status"] == "resolved"
    assert "From 2027-01-15 08:00:00 UTC to 2027-01-15 08:02:00 UTC" in str(document["text"])
    assert "What to do" not in str(document["text"])


def test_of_many_some_are_shown_and_the_rest_is_counted() -> None:
    many = [alert(instance=str(each)) for each in range(50)]
    document = told(*many)
    assert document["truncatedAlerts"] == 30
    assert len(document["alerts"]) == 20  # type: ignore[arg-type]
    assert "30 more of this group." in str(document["text"])
    assert str(document["title"]).endswith("(and 49 more)")
