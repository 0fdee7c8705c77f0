"""Cross-validation: every row is judged by once, classes are spread evenly, groups stay together."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.datasets import from_arrays
from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP
from lepton_ai.models.cross_validation import cross_validate, fold_rows
from tests.unit.training.tables import table


def test_mean_and_spread_are_those_of_the_folds() -> None:
    result = cross_validate(
        lambda: MLP([8], dropout=0.0), table(), folds=3, epochs=15, learning_rate=0.02, progress=False
    )
    accuracies = [fold.metrics["accuracy"] for fold in result.folds]
    assert len(accuracies) == 3
    assert result.mean["accuracy"] == pytest.approx(np.mean(accuracies))
    assert min(accuracies) > 0.8
    assert result.spread["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert "accuracy 0." in repr(result)


def test_every_row_is_judged_by_once_and_never_learned_from_then() -> None:
    judged: list[int] = []
    for train, test in fold_rows(table(), folds=5):
        assert not set(train) & set(test)
        assert len(train) + len(test) == 120
        judged += list(test)
    assert sorted(judged) == list(range(120))


def test_classes_are_spread_evenly() -> None:
    data = table(rare=10)
    rare = data.classes.index("rare")
    assert [int((data.target_ids()[test] == rare).sum()) for _, test in fold_rows(data, folds=5)] == [2] * 5


@pytest.mark.parametrize("by_role", [True, False])
def test_groups_stay_together(by_role: bool) -> None:
    data = table()
    if by_role:
        data = data.with_schema(data.schema.with_roles(组="group"))
    for train, test in fold_rows(data, folds=5, group=None if by_role else "组"):
        assert not {row % 10 for row in train} & {row % 10 for row in test}


def test_groups_that_differ_in_zeros_at_the_end_are_different() -> None:
    data = from_arrays({"x": np.arange(40.0), "group": ["a", "a\0"] * 20}, np.arange(40) % 2)
    assert len(list(fold_rows(data, folds=2, group="group"))) == 2


def test_the_seed_decides_the_folds() -> None:
    def first(seed: int) -> list[int]:
        return list(next(iter(fold_rows(table(), folds=5, seed=seed)))[1])

    assert first(1) == first(1) != first(2)


def test_classes_with_fewer_rows_than_folds_do_not_stop_it() -> None:
    assert len(list(fold_rows(table(rare=2), folds=5))) == 5


@pytest.mark.parametrize(("folds", "groups"), [(1, 10), (121, 10), (5, 3)])
def test_folds_that_cannot_be_made_are_refused(folds: int, groups: int) -> None:
    with pytest.raises(InvalidInput, match="folds"):
        list(fold_rows(table(groups=groups), folds=folds, group="组"))


def test_a_group_column_that_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidInput, match="such column"):
        list(fold_rows(table(), folds=2, group="gruppe"))


def test_a_model_in_place_of_a_function_is_said() -> None:
    with pytest.raises(InvalidInput, match="make_model: is not a function"):
        cross_validate(MLP([4]), table())  # type: ignore[arg-type]
