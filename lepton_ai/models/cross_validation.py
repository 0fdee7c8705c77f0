"""Cross-validation: how good a model is, and how much that depends on which rows it was judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset
    from lepton_ai.models.answers import Evaluation
    from lepton_ai.models.data import Data
    from lepton_ai.models.model import Model


@dataclass(frozen=True)
class CrossValidation:
    """What a model reached on each part of the data after learning from the others."""

    folds: tuple[Evaluation, ...]

    @property
    def mean(self) -> dict[str, float]:
        """Of each metric over the folds."""
        return {name: float(np.mean(values)) for name, values in self._by_name().items()}

    @property
    def spread(self) -> dict[str, float]:
        """Standard deviation of each metric over the folds."""
        return {name: float(np.std(values, ddof=1)) for name, values in self._by_name().items()}

    def _by_name(self) -> dict[str, list[float]]:
        return {name: [fold.metrics[name] for fold in self.folds] for name in self.folds[0].metrics}

    def __repr__(self) -> str:
        mean, spread = self.mean, self.spread
        return ", ".join(f"{name} {mean[name]:.4f} ± {spread[name]:.4f}" for name in mean)


def cross_validate(
    make_model: Callable[[], Model],
    data: Data,
    *,
    folds: int = 5,
    seed: int = 0,
    group: str | None = None,
    **settings: Any,
) -> CrossValidation:
    """Train a fresh model per fold on all other folds and evaluate it on this one. `settings` are those of `fit`.

    Classes are spread evenly over the folds; rows of the same value in the column `group` (by default the one whose
    role is group) stay together. `data` is what `fit` takes. Raises InvalidInput when there are not enough
    rows, classes or groups.
    """
    from lepton_ai.models.data import as_dataset
    from lepton_ai.models.model import Model

    if isinstance(make_model, Model) or not callable(make_model):
        raise InvalidInput.of_field(
            "make_model", "is not a function", fix="Give lambda: MLP(…): every fold needs its own."
        )
    data, results = as_dataset(data), []
    for train, test in fold_rows(data, folds=folds, seed=seed, group=group):
        model = make_model()
        model.fit(data.take(train), **{"seed": seed, "validation": None, **settings})
        results.append(model.evaluate(data.take(test)))
    return CrossValidation(tuple(results))


def fold_rows(data: Dataset, *, folds: int, seed: int = 0, group: str | None = None) -> Iterator[tuple[Array, Array]]:
    """Rows to learn from and rows to judge by, for each fold. Every row is judged by once."""
    if not 2 <= folds <= len(data):
        raise InvalidInput.of_field("folds", f"is {folds}, must be from 2 to the number of rows, which is {len(data)}")
    groups, classes = _groups(data, group), _classes(data, folds)
    if groups is not None and len(np.unique(groups)) < folds:
        raise InvalidInput.of_field("folds", f"is {folds}, and there are only {len(np.unique(groups))} groups")
    yield from _splitter(folds, seed, groups=groups, classes=classes).split(
        np.zeros(len(data)), np.zeros(len(data)) if classes is None else classes, groups
    )


def _splitter(folds: int, seed: int, *, groups: Array | None, classes: Array | None) -> Any:
    from sklearn import model_selection

    if groups is not None and classes is not None:
        return model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    if groups is not None:
        return model_selection.GroupKFold(folds, shuffle=True, random_state=seed)
    if classes is not None:
        return model_selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
    return model_selection.KFold(folds, shuffle=True, random_state=seed)


def _groups(data: Dataset, group: str | None) -> Array | None:
    name = group or next((column.name for column in data.schema.columns if column.role == "group"), None)
    if name is None:
        return None
    values = [str(row[name]) for row in data.rows([name])]
    numbers: Array = np.unique(np.array(values, dtype=object), return_inverse=True)[1]
    return numbers


def _classes(data: Dataset, folds: int) -> Array | None:
    """Class numbers when the target has classes, each with a row a fold."""
    target = data.schema.target
    if target is None or target.kind != "category":
        return None
    classes = data.target_ids()
    if np.bincount(classes[classes >= 0]).min() < folds or (classes < 0).any():
        return None
    return classes
