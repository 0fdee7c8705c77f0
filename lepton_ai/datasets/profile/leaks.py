"""Check: ids among the inputs, and single columns that give the target away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lepton_ai.datasets.inference import infer_column
from lepton_ai.datasets.profile.finding import Finding
from lepton_ai.datasets.profile.outliers import measures
from lepton_ai.datasets.profile.sample import Rows
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.tensors import Array

_TELLING = 0.97
"""Share of what could be gained over guessing that a single column gains, from which it is suspicious."""
_FEWEST_ROWS = 40
_FEWEST_OF_A_CLASS = 5
_MOST_ROWS = 20_000
_MOST_CATEGORIES = 0.2
_LEAVES = 32
_ID_NOTES = ("an id", "counts")


def check(survey: Survey) -> Iterator[Finding]:
    """Also the size of pictures and the length of texts and sounds, which should not tell classes apart."""
    yield from _ids(survey)
    target = _target_values(survey)
    if target is None:
        return
    wanted, known = target
    for name, what, values in _candidates(survey):
        gained = _gain(values[known], wanted[known], seed=survey.seed)
        if gained >= _TELLING:
            yield _leak(survey, name, what, gained)


def _ids(survey: Survey) -> Iterator[Finding]:
    for column in survey.inputs("number", "text", "category"):
        first = survey.data.select([column.name])[:_MOST_ROWS].table
        guessed = infer_column(column.name, first.column(column.name))
        if guessed.role == "ignore" and guessed.note.startswith(_ID_NOTES):
            advice = f"A model can only learn it by heart: clean(drop_columns=[{column.name!r}]), or role ignore."
            yield Finding("leak", "medium", guessed.note, advice, column.name, evidence={"id": True})


def _target_values(survey: Survey) -> tuple[Any, Rows] | None:
    """Classes as whole numbers or a numeric target as it is, and which rows have one."""
    classes = survey.class_ids()
    if classes is not None:
        ids, _ = classes
        counts = np.bincount(ids[ids >= 0]) if (ids >= 0).any() else np.zeros(1, np.int64)
        known = np.flatnonzero((ids >= 0) & (counts[ids.clip(0)] >= _FEWEST_OF_A_CLASS))[:_MOST_ROWS]
        wanted: Any = ids
    elif survey.target is not None and survey.target.kind == "number":
        wanted = survey.sample.numbers[survey.target.name]
        known = np.flatnonzero(np.isfinite(wanted))[:_MOST_ROWS]
    else:
        return None
    if len(known) < _FEWEST_ROWS or len(np.unique(wanted[known])) < 2:
        return None
    return wanted, known


def _candidates(survey: Survey) -> Iterator[tuple[str, str, Array]]:
    for column in survey.schema.inputs:
        if column.kind == "number":
            yield column.name, "", survey.sample.numbers[column.name]
        elif column.kind == "category":
            yield from ((column.name, "", codes) for codes in _codes(survey.sample.categories[column.name]))
        elif column.kind == "text":
            yield from ((column.name, "", codes) for codes in _codes(survey.sample.texts[column.name]))
    inputs = {column.name for column in survey.schema.inputs}
    for name, measured in measures(survey):
        if name in inputs:
            yield from ((name, what, values) for what, values in measured.items() if what != "brightness")


def _codes(values: Sequence[str | None]) -> Iterator[Array]:
    """Whole numbers for categories, each of which is there often enough to be learnt."""
    distinct = {value: index for index, value in enumerate(dict.fromkeys(values))}
    if len(distinct) <= _MOST_CATEGORIES * len(values):
        yield np.array([distinct[value] for value in values], dtype=np.int64)


def _gain(values: Any, wanted: Any, *, seed: int) -> float:
    """0 for no better than guessing, 1 for perfect, on rows that were not learnt from."""
    if len(np.unique(values[~np.isnan(values)] if values.dtype.kind == "f" else values)) < 2:
        return 0.0
    classes = wanted.dtype.kind in "iu"
    predicted = _predicted(values, wanted, classes=classes, seed=seed)
    if not classes:
        rest = float(np.square(wanted - predicted).sum())
        return 1 - rest / max(float(np.square(wanted - wanted.mean()).sum()), 1e-300)
    known, ids = np.unique(wanted, return_inverse=True)
    recall = np.bincount(ids[predicted == wanted], minlength=len(known)) / np.bincount(ids)
    return float((recall.mean() - 1 / len(known)) / (1 - 1 / len(known)))


def _predicted(values: Any, wanted: Any, *, classes: bool, seed: int) -> Array:
    from sklearn.model_selection import KFold, StratifiedKFold

    folds: Any = (StratifiedKFold if classes else KFold)(3, shuffle=True, random_state=seed)
    predicted = np.zeros_like(wanted)
    for train, test in folds.split(values, wanted):
        if values.dtype.kind == "f":
            predicted[test] = _by_number(values, wanted, (train, test), classes=classes)
        else:
            predicted[test] = _by_category(values, wanted, (train, test), classes=classes)
    return np.asarray(predicted)


def _by_number(values: Any, wanted: Any, fold: tuple[Rows, Rows], *, classes: bool) -> Array:
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeClassifier

    train, test = fold
    if classes:
        column = np.nan_to_num(values, nan=-1e30)[:, None].clip(-1e30, 1e30)
        tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, class_weight="balanced", random_state=0)
        return np.asarray(tree.fit(column[train], wanted[train]).predict(column[test]))
    present = values[np.isfinite(values)]
    column = np.where(np.isfinite(values), (values - present.mean()) / (present.std() or 1.0), 0.0)[:, None]
    return np.asarray(LinearRegression().fit(column[train], wanted[train]).predict(column[test]))


def _by_category(values: Any, wanted: Any, fold: tuple[Rows, Rows], *, classes: bool) -> Array:
    train, test = fold
    overall = np.bincount(wanted[train]).argmax() if classes else wanted[train].mean()
    best: dict[int, Any] = {}
    for value in np.unique(values[train]):
        own = wanted[train][values[train] == value]
        best[int(value)] = np.bincount(own).argmax() if classes else own.mean()
    return np.array([best.get(int(value), overall) for value in values[test]], dtype=wanted.dtype)


def _leak(survey: Survey, name: str, what: str, gained: float) -> Finding:
    target = survey.target.name if survey.target is not None else ""
    subject = f"its {what} alone" if what else "this column alone"
    advice = f"Ask whether it is known before {target!r} is; if not: clean(drop_columns=[{name!r}])."
    if what:
        advice = "The classes were collected differently: make them alike, or the model learns only that."
    return Finding(
        "leak",
        "high",
        f"{subject} predicts {target!r} almost perfectly ({100 * gained:.1f} % of what guessing leaves)",
        advice,
        name,
        evidence={"measure": what or "value", "gain": round(gained, 4), "id": False},
    )
