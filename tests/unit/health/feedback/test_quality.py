"""What feedback says of versions."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.health.feedback.book import Entry, FeedbackBook, Kind, State
from services.health.feedback.quality import Quality, by_version, capped_accuracy, is_good, wilson

DAY_S = 86_400


def entry(
    kind: Kind,
    said: object,
    *,
    prediction: str = "a-0",
    predicted: str = "cat",
    at: float = 0.0,
    value: float = 0.9,
    version: int = 1,
    source: str = "here",
    user: bytes | None = None,
) -> Entry:
    good = is_good(kind, said, predicted=predicted)
    return Entry(prediction, kind, said, at, source, user, State.JOINED, "animals", version, predicted, value, good)


def quality_of(said: Sequence[Entry]) -> Mapping[int, Quality]:
    """What a book says in which this is written."""
    with tempfile.TemporaryDirectory() as directory:
        book = FeedbackBook(Path(directory) / "book.sqlite")
        book.add(said)
        found = by_version(book.figures("animals"))
        book.close()
    return found


@pytest.mark.parametrize(
    ("kind", "said", "good"),
    [
        (Kind.THUMB, True, True),
        (Kind.THUMB, False, False),
        (Kind.RATING, 5.0, True),
        (Kind.RATING, 4.0, True),
        (Kind.RATING, 3.0, None),
        (Kind.RATING, 2.0, False),
        (Kind.LABEL, "cat", True),
        (Kind.LABEL, "dog", False),
        (Kind.TEXT, "nice", None),
    ],
)
def test_what_calls_a_prediction_good(kind: Kind, said: object, good: bool | None) -> None:
    assert is_good(kind, said, predicted="cat") is good


def test_a_label_says_nothing_of_a_prediction_that_is_not_known() -> None:
    assert is_good(Kind.LABEL, "cat", predicted="") is None


def test_a_prediction_is_good_when_nobody_calls_it_bad() -> None:
    said = [entry(Kind.THUMB, True), entry(Kind.LABEL, "dog"), entry(Kind.THUMB, True, prediction="b-0")]
    quality = quality_of(said)[1]
    assert (quality.good, quality.bad) == (1, 1)


def test_accuracy_has_its_interval_and_mistakes_their_names() -> None:
    labels = ["cat"] * 8 + ["dog"] * 2
    said = [entry(Kind.LABEL, label, prediction=f"{number}-0") for number, label in enumerate(labels)]
    quality = quality_of(said)[1]
    assert (quality.labelled, quality.right) == (10, 8)
    low, high = quality.accuracy
    assert low == pytest.approx(0.49, abs=0.01)
    assert high == pytest.approx(0.943, abs=0.01)
    assert quality.confusions == [("cat", "dog", 2)]


def test_scores_that_promise_too_much_are_a_calibration_error() -> None:
    said = [
        entry(Kind.LABEL, "cat" if number % 2 else "dog", prediction=f"{number}-0", value=0.95) for number in range(100)
    ]
    assert quality_of(said)[1].calibration_error == pytest.approx(0.45)


def test_of_numbers_the_mean_error_counts() -> None:
    labels = ("12.5", "9", "about ten")
    said = [
        entry(Kind.LABEL, label, predicted="", value=10.0, prediction=f"{number}-0")
        for number, label in enumerate(labels)
    ]
    quality = quality_of(said)[1]
    assert quality.mean_absolute_error == pytest.approx(1.75)
    assert quality.labelled == 0


def test_versions_and_days_are_told_apart() -> None:
    said = [
        entry(Kind.THUMB, True, at=10.0),
        entry(Kind.THUMB, False, at=DAY_S + 10.0, prediction="b-0"),
        entry(Kind.RATING, 3.0, version=2, prediction="c-0"),
    ]
    found = quality_of(said)
    assert found[1].trend == [(0, 1, 0), (DAY_S, 0, 1)]
    assert (found[2].rated, found[2].mean_rating) == (1, 3.0)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_an_interval_holds_the_share_and_stays_within_bounds(right: int, wrong: int) -> None:
    low, high = wilson(right, right + wrong)
    assert 0.0 <= low <= high <= 1.0
    if right + wrong:
        assert low - 1e-12 <= right / (right + wrong) <= high + 1e-12


def labels_of(source: str, count: int, right: int, *, user: bytes | None = None) -> list[Entry]:
    """Labels of one source, so many of them right."""
    said = ["cat" if number < right else "dog" for number in range(count)]
    return [
        entry(Kind.LABEL, label, prediction=f"{source}{user!r}{number}-0", source=source, user=user)
        for number, label in enumerate(said)
    ]


def test_one_loud_source_does_not_say_how_good_a_version_is() -> None:
    many = [each for number in range(20) for each in labels_of(f"ipv4:10.0.0.{number}", 5, 4)]
    quality = quality_of([*many, *labels_of("ipv4:6.6.6.6", 900, 0)])[1]
    assert (quality.labelled, quality.right, quality.sources) == (1000, 80, 21)
    assert quality.largest_share == pytest.approx(0.9)
    assert quality.capped_accuracy == pytest.approx(0.6, abs=0.01), "a quarter of the weight says never"


def test_users_of_an_application_with_a_token_are_sources_of_their_own() -> None:
    said = [each for user in (b"1" * 8, b"2" * 8) for each in labels_of("shop", 10, 5, user=user)]
    assert quality_of(said)[1].sources == 2
    said = [each for user in (b"1" * 8, b"2" * 8) for each in labels_of("ipv4:10.0.0.1", 10, 5, user=user)]
    assert quality_of(said)[1].sources == 1


@pytest.mark.parametrize(
    ("sources", "share"),
    [
        ([], 0.0),
        ([(100, 90)], 0.9),
        ([(90, 90), (10, 0)], 0.5),
        ([(10, 10)] * 4, 1.0),
        ([(1, 1)] * 30 + [(1000, 0)], 0.75),
    ],
)
def test_no_source_weighs_more_than_a_quarter(sources: list[tuple[int, int]], share: float) -> None:
    assert capped_accuracy(sources) == pytest.approx(share, abs=0.01)


def test_the_most_frequent_mistakes_are_told_of_each_version() -> None:
    said = [
        entry(Kind.LABEL, label, prediction=f"{version}{label}{number}-0", version=version)
        for version, times in ((1, 3), (2, 1))
        for label in ("dog", "fox", "狼")
        for number in range(times if label == "dog" else 1)
    ]
    found = quality_of(said)
    assert found[1].confusions[0] == ("cat", "dog", 3)
    assert sorted(found[2].confusions) == [("cat", "dog", 1), ("cat", "fox", 1), ("cat", "狼", 1)]


def test_what_is_quarantined_counts_nowhere() -> None:
    said = entry(Kind.LABEL, "dog")
    assert quality_of([replace(said, state=State.QUARANTINED)]) == {}
