"""Recommenders: ratings of pairs, and what comes next for somebody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.datasets import Column, Dataset, Schema, from_rows
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models import Recommender, recommend
from tests.unit.models.served import assert_served_alike

SCHEMA = Schema((Column("user", "category"), Column("item", "category"), Column("rating", "number", "target")))
KINDS = ("factors", "two_tower")
FIT: Mapping[str, Any] = {"batch_size": 32, "learning_rate": 0.02, "progress": False}


def tastes(*, share: float = 0.7, seed: int = 0) -> Dataset:
    """People of two kinds and films of two kinds: everybody likes those of their own kind."""
    random = np.random.default_rng(seed)
    pairs = [(user, item) for user in range(24) for item in range(20) if random.random() < share]
    return from_rows(
        ({"user": f"人{user}", "item": f"film {item}", "rating": 4.5 if user % 2 == item % 2 else 1.5}
         for user, item in pairs),
        schema=SCHEMA,
    )  # fmt: skip


def liked(data: Dataset) -> Dataset:
    return data.filter(lambda row: float(str(row["rating"])) > 3)


@pytest.mark.parametrize("kind", KINDS)
def test_ratings_are_learned_and_served(kind: Any, tmp_path: Path) -> None:
    model = Recommender(kind=kind, size=8, dropout=0.0)
    model.fit(tastes(), epochs=15, **FIT)
    loss, rmse = model.evaluate(tastes(seed=1))
    assert rmse < 0.8  # always the mean: 1.5
    assert loss == pytest.approx(rmse**2, rel=1e-3)
    assert_served_alike(model, tastes().select(["user", "item"]), tmp_path)


def test_ratings_stay_in_the_range_that_was_seen() -> None:
    model = Recommender(size=8, dropout=0.0)
    model.fit(tastes(), epochs=15, validation=None, **FIT)
    ratings = [float(answer.outputs["rating"][0]) for answer in model.predict(tastes())]
    assert 1.5 <= min(ratings) < 2 < 4 < max(ratings) <= 4.5


@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_takes_next_beats_popularity_and_is_served_as_labels(kind: Any, tmp_path: Path) -> None:
    train, test = liked(tastes(share=1.0)).split(0.2, seed=1, stratify=False)
    model = Recommender("ranking", kind=kind, size=8, dropout=0.1)
    model.fit(train, epochs=10, validation=None, **FIT)
    _, hit_rate = model.evaluate(test)
    metrics = model.evaluate(test).metrics
    assert hit_rate == metrics["hit_rate"] > metrics["popularity_hit_rate"]
    assert_served_alike(model, train.select(["user"]), tmp_path)


@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_recommendations_suit_the_user_and_do_not_repeat(objective: Any) -> None:
    data = tastes() if objective == "rating" else liked(tastes())
    model = Recommender(objective, size=8, dropout=0.0)
    model.fit(data, epochs=15, validation=None, **FIT)
    best = model.recommend("人3", 3)
    taken = {row["item"] for row in liked(tastes()).rows() if row["user"] == "人3"}
    assert len(best) == 3
    assert [label.score for label in best] == sorted((label.score for label in best), reverse=True)
    assert sum(int(label.name.split()[1]) % 2 for label in best) >= (3 if objective == "rating" else 2)
    if objective == "ranking":
        assert not taken & {label.name for label in best}


@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_somebody_unknown_gets_what_suits_everybody(objective: Any) -> None:
    model = Recommender(objective, size=4)
    model.fit(tastes(), epochs=2, **FIT)
    assert len(model.recommend("nobody", 5)) == 5
    inputs = {"user": "nobody"} | ({"item": "film 1"} if objective == "rating" else {})
    assert any("known" in message for message in model.predict(inputs).anomalies)


def test_the_epoch_with_the_most_hits_is_kept() -> None:
    model = Recommender("ranking", size=8, dropout=0.0)
    history = model.fit(liked(tastes()), epochs=6, **FIT)
    rates = history["validation_hit_rate"]
    assert history.best_epoch is not None
    assert rates[history.best_epoch - 1] == max(rates)


def test_items_that_were_not_there_count_as_misses() -> None:
    model = Recommender("ranking", size=4)
    model.fit(tastes(), epochs=1, validation=None, **FIT)
    strange = from_rows([{"user": "人1", "item": "film 99", "rating": 5.0}] * 2, schema=SCHEMA)
    assert model.evaluate(strange).metrics["hit_rate"] == 0


def test_what_somebody_takes_again_is_a_miss_and_does_not_swamp_the_loss() -> None:
    model = Recommender("ranking", size=8, dropout=0.0)
    data = liked(tastes())
    history = model.fit(data, validation=data, epochs=3, **FIT)  # every item was taken before
    assert history["validation_loss"] == [0.0] * 3
    assert history["validation_hit_rate"] == [0.0] * 3
    taken, strange = next(iter(data.rows())), {"user": "人1", "item": "film 99", "rating": 5.0}
    fresh = next(row for row in liked(tastes(share=1.0)).rows() if row not in list(data.rows()))
    figures = model.evaluate(from_rows([taken, strange, fresh], schema=SCHEMA)).metrics
    assert figures["loss"] == pytest.approx(model.evaluate(from_rows([fresh], schema=SCHEMA)).metrics["loss"])


@pytest.mark.parametrize("name", ["Rating", "评分"])
def test_ratings_are_found_under_usual_names(name: str, tmp_path: Path) -> None:
    rows = {"user": ["安", "博", "安", "陈"] * 15, "item": ["茶", "书", "笔", "茶"] * 15, name: [5, 3, 1, 4] * 15}
    model = Recommender("rating", size=4)
    model.fit(rows, epochs=2, **FIT)
    assert model.evaluate(rows).metrics.keys() >= {"rmse"}
    assert 1 <= float(model.predict({"user": "安", "item": "茶"}).outputs["rating"][0]) <= 5
    assert model.report(tmp_path / "report.html").stat().st_size
    assert_served_alike(model, from_rows([{"user": "安", "item": "茶"}] * 3), tmp_path)


def test_rows_without_ratings_say_what_to_do() -> None:
    with pytest.raises(InvalidInput, match=r'no column of ratings among user, item, price.*Recommender\("ranking"\)'):
        Recommender().fit({"user": ["a", "b"] * 9, "item": ["x", "y"] * 9, "price": [1.0, 2.0] * 9}, progress=False)


def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="objective"):
        Recommender("stars")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="'customer'"):
        Recommender(user="customer").fit(tastes(), progress=False)
    with pytest.raises(FailedPrecondition, match="not been trained"):
        Recommender().recommend("人1")
    monkeypatch.setattr(recommend, "_MAX_SEEN_CELLS", 10)
    with pytest.raises(FailedPrecondition, match="24 users and 20 items"):
        Recommender("ranking").fit(tastes(), progress=False)
