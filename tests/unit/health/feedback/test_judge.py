"""A model that users find worse than before is an alert; noise, one loud voice and little said are none."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai.v1 import registry_pb2
from lepton_ai.v1.feedback_pb2 import Feedback
from services.health.alerts.firing import Firing
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.figures import Span
from services.health.feedback.judge import QualityJudge, find_bursts, find_drops, find_rating_drops
from tests.unit.health.feedback.batches import MODEL, NOW, told
from tests.unit.health.feedback.test_desk import open_desk

HOUR_S = 3600.0


def spans(
    said: int, good: int, *, recent: bool, version: int = 1, kind: str = "label", sources: int = 8, name: str = "10.0.0"
) -> list[Span]:
    """Of so many sources, about evenly."""
    found = []
    for number in range(sources):
        mine = said // sources + (number < said % sources)
        right = good // sources + (number < good % sources)
        found.append(Span(MODEL, version, kind, recent, f"ipv4:{name}.{number}", mine, right, 0.0, 0.0))
    return found


def names(found: list[Firing]) -> list[str]:
    return [each.labels["alertname"] for each in found]


def test_accuracy_that_fell_below_its_own_is_told_with_both_figures() -> None:
    (firing,) = find_drops([*spans(1000, 950, recent=False), *spans(200, 140, recent=True)])
    assert firing.labels == {
        "alertname": "ModelQualityDropped", "severity": "ticket", "model": MODEL, "version": "1", "said": "label",
    }  # fmt: skip
    assert firing.annotations["summary"] == ("Of animals version 1, 70.0% right labels: 95.0% before the last day.")
    assert firing.annotations["share"] == "0.250"
    assert firing.value == pytest.approx(0.7)


def test_a_version_that_is_worse_than_the_one_before_is_told() -> None:
    old, new = spans(500, 480, recent=False), spans(300, 210, recent=True, version=2)
    (firing,) = find_drops([*old, *new])
    assert (firing.labels["alertname"], firing.labels["version"]) == ("ModelWorseThanBefore", "2")
    assert "96.0% of version 1" in firing.annotations["summary"]
    assert find_drops([*old, *spans(300, 210, recent=False, version=2)]) == [], "nobody uses it any more"
    assert find_drops([*spans(500, 350, recent=False), *spans(300, 290, recent=True, version=2)]) == []


@pytest.mark.parametrize(
    ("recent", "earlier"), [((29, 5), (1000, 950)), ((200, 184), (1000, 950)), ((200, 100), (20, 20))]
)
def test_little_said_and_small_differences_are_none(recent: tuple[int, int], earlier: tuple[int, int]) -> None:
    assert find_drops([*spans(*earlier, recent=False), *spans(*recent, recent=True)]) == []


def test_chance_alone_fires_hardly_ever() -> None:
    chance, fired = random.Random(3), 0
    for _ in range(1000):
        good = sum(chance.random() < 0.9 for _ in range(200))
        before = sum(chance.random() < 0.9 for _ in range(600))
        fired += bool(find_drops([*spans(600, before, recent=False), *spans(200, good, recent=True)]))
    assert fired <= 3


def test_one_source_alone_cannot_make_a_good_model_look_bad() -> None:
    liar = spans(5000, 0, recent=True, sources=1, name="6.6.6")
    honest = spans(100, 95, recent=True, sources=20)
    assert find_drops([*spans(1000, 950, recent=False), *honest]) == []
    worst = find_drops([*spans(1000, 950, recent=False), *honest, *liar])
    assert all(firing.value > 0.7 for firing in worst), "it weighs a quarter at most"


def test_ratings_that_fell_are_told() -> None:
    def ratings(value: float, said: int, *, recent: bool) -> list[Span]:
        half = said // 2
        low, high = value - 0.5, value + 0.5
        total, squares = half * (low + high), half * (low * low + high * high)
        return [Span(MODEL, 1, "rating", recent, f"ipv4:{number}", said, 0, total, squares) for number in range(8)]

    (firing,) = find_rating_drops([*ratings(4.5, 100, recent=False), *ratings(3.5, 20, recent=True)])
    assert firing.annotations["summary"] == "Ratings of animals version 1 fell from 4.5 to 3.5 of 5."
    assert find_rating_drops([*ratings(4.5, 100, recent=False), *ratings(4.4, 20, recent=True)]) == []
    assert find_rating_drops([*ratings(4.5, 2, recent=False), *ratings(1.5, 2, recent=True)]) == []


def test_a_burst_of_complaints_is_told_against_what_is_usual() -> None:
    usual = [(MODEL, NOW - HOUR_S * (2 + number / 5)) for number in range(500)]
    burst = [(MODEL, NOW - 60.0 * number) for number in range(40)]
    (firing,) = find_bursts([*usual, *burst], NOW)
    assert (firing.labels["alertname"], firing.value) == ("ComplaintBurst", 40.0)
    assert find_bursts([*usual, *burst[:8]], NOW) == []
    assert names(find_bursts(burst, NOW)) == ["ComplaintBurst"], "also where there were none before"
    busy = [(MODEL, NOW - HOUR_S * (1.1 + number / 2000)) for number in range(40_000)]
    assert find_bursts([*busy, *((MODEL, NOW - number) for number in range(2000))], NOW) == []


def test_the_busy_hours_of_every_day_are_no_burst() -> None:
    days = [(MODEL, NOW - HOUR_S * (24 * day + hour) - 60.0 * number) for day in range(1, 7) for hour in (0, 1)
            for number in range(12)]  # fmt: skip
    today = [(MODEL, NOW - 60.0 * number) for number in range(30)]
    assert find_bursts([*days, *today[:14]], NOW) == []
    assert names(find_bursts([*days, *today], NOW)) == ["ComplaintBurst"]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[FeedbackDesk]:
    made = open_desk(tmp_path)
    yield made
    await made.close()


async def test_what_users_say_reaches_the_judge_and_what_is_quarantined_does_not(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat"] * 100)
    new_ids, new_batch = told(["cat"] * 100, version=2)
    await desk.remember([batch, new_batch])
    for made in ids:
        await desk.submit([Feedback(prediction_id=made, label="cat")], source="shop", trusted=True)
    flood = [Feedback(prediction_id=made, label="dog") for made in new_ids]
    await desk.submit(flood[:50], source="ipv4:6.6.6.6", trusted=False)
    judge = QualityJudge(desk, dict)
    assert names(list(await judge.judge(NOW))) == ["ModelWorseThanBefore"]
    await desk.submit(flood[50:], source="ipv4:6.6.6.6", trusted=False)
    assert [each.value for each in await judge.judge(NOW + 60)] == [0.0]
    said = await desk.spans(recent=NOW - 10)
    assert sum(span.said for span in said if span.version == 2) == 50, "the others were quarantined"


async def test_of_a_version_that_gets_no_calls_any_more_there_is_no_alert(desk: FeedbackDesk) -> None:
    for version, label in ((1, "cat"), (2, "dog")):
        ids, batch = told(["cat"] * 50, version=version)
        await desk.remember([batch])
        for made in ids:
            await desk.submit([Feedback(prediction_id=made, label=label)], source="shop", trusted=True)
    deployment = registry_pb2.Deployment(model=MODEL)
    production = deployment.routes.add(alias="production")
    production.targets.add(version=1, weight=95)
    canary = production.targets.add(version=2, weight=5)
    judge = QualityJudge(desk, lambda: {MODEL: deployment})
    assert names(list(await judge.judge(NOW))) == ["ModelWorseThanBefore"]
    canary.weight = 0
    assert await judge.judge(NOW + 1) == []
    assert names(list(await QualityJudge(desk, dict).judge(NOW))) == ["ModelWorseThanBefore"], "nobody knows of routes"


async def test_praise_is_no_complaint(desk: FeedbackDesk) -> None:
    ids, batch = told(["cat"] * 40)
    await desk.remember([batch])
    for made in ids:
        said = [Feedback(prediction_id=made, text="很好"), Feedback(prediction_id=made, thumb_up=True)]
        await desk.submit(said, source="shop", trusted=True)
    now = time.time()
    assert await desk.complaint_times(since=now - HOUR_S) == []
    assert await QualityJudge(desk, dict).judge(now) == []
    for made in ids:
        await desk.submit([Feedback(prediction_id=made, thumb_up=False)], source="shop", trusted=True)
    assert names(list(await QualityJudge(desk, dict).judge(now))) == ["ComplaintBurst"]
