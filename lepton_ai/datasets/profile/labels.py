"""Check: rows whose label two simple models, which never saw them, both take for another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lepton_ai.datasets.profile.features import features_of
from lepton_ai.datasets.profile.finding import Finding, listed, of_rows, percent
from lepton_ai.datasets.profile.sample import Rows
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.tensors import Array

_FOLDS = 5
_NEIGHBOURS = 10
_FEWEST_OF_A_CLASS = 10
_MOST_CLASSES = 100
_LEARNING_ROWS = 200_000
_OWN_AT_MOST = 0.1
_OTHER_AT_LEAST = 0.8
_MIN_SKILL = 0.5
"""Below this balanced accuracy above chance (0 to 1), what the models think says nothing about labels."""


def check(survey: Survey) -> Iterator[Finding]:
    """Out-of-fold logistic regression and 10 nearest neighbours; the idea is confident learning (Northcutt, 2021)."""
    classes, doubts = survey.class_ids(), _doubts(survey)
    if classes is not None and doubts is not None and len(doubts[0]):
        places, suggested, certainty = doubts
        yield _finding(survey, places, [classes[1][index] for index in suggested], certainty, classes)


def doubtful_rows(survey: Survey) -> Rows:
    """All rows that the check is about, by number."""
    doubts = _doubts(survey)
    return np.empty(0, dtype=np.int64) if doubts is None else np.sort(survey.sample.rows[doubts[0]])


def _doubts(survey: Survey) -> tuple[Array, Array, Array] | None:
    """(places in the sample, the class that both models say, how sure they are); None when it cannot be told."""
    classes = survey.class_ids()
    usable = _usable(classes[0]) if classes is not None else np.empty(0, np.int64)
    if classes is None or not len(usable) or not 2 <= len(np.unique(classes[0][usable])) <= _MOST_CLASSES:
        return None
    features = features_of(survey)
    if features is None:
        return None
    linear, near = features
    found = _disagreeing(linear[usable], near[usable], classes[0][usable], survey.seed)
    if found is None:
        survey.notes.append("Labels were not checked: simple models cannot tell the classes apart.")
        return None
    places, suggested, certainty = found
    return usable[places], suggested, certainty


def _usable(ids: Rows) -> Rows:
    """Rows of classes that are large enough to be in every fold."""
    counts = np.bincount(ids[ids >= 0]) if (ids >= 0).any() else np.zeros(1, np.int64)
    return np.flatnonzero((ids >= 0) & (counts[ids.clip(0)] >= _FEWEST_OF_A_CLASS))


def _disagreeing(linear: Any, near: Array, ids: Array, seed: int) -> tuple[Array, Array, Array] | None:
    """(places, the class that both models say, how sure they are), surest first; None when they know too little."""
    known, compact = np.unique(ids, return_inverse=True)
    by_line, by_neighbours = _out_of_fold(linear, near, compact, seed)
    if _skill(by_line.argmax(1), compact) < _MIN_SKILL or _skill(by_neighbours.argmax(1), compact) < _MIN_SKILL:
        return None
    rows = np.arange(len(ids))
    says = by_neighbours.argmax(1)
    own = np.maximum(by_line[rows, compact], by_neighbours[rows, compact])
    other = np.minimum(by_line[rows, says], by_neighbours[rows, says])
    odd = (says != compact) & (by_line.argmax(1) == says) & (own <= _OWN_AT_MOST) & (other >= _OTHER_AT_LEAST)
    places = np.flatnonzero(odd)
    places = places[np.argsort(-other[places], kind="stable")]
    return places, known[says[places]], other[places]


def _out_of_fold(linear: Any, near: Array, ids: Array, seed: int) -> tuple[Array, Array]:
    from sklearn.linear_model import SGDClassifier
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier

    shape = (len(ids), int(ids.max()) + 1)
    by_line, by_neighbours = np.zeros(shape), np.zeros(shape)
    steps = int(np.clip(_LEARNING_ROWS // len(ids), 10, 100))
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(ids, ids):
        line = SGDClassifier(loss="log_loss", alpha=1e-4, max_iter=steps, tol=None, random_state=seed)
        by_line[test] = line.fit(linear[train], ids[train]).predict_proba(linear[test])
        neighbours = KNeighborsClassifier(_NEIGHBOURS).fit(near[train], ids[train])
        by_neighbours[test] = neighbours.predict_proba(near[test])
    return by_line, by_neighbours


def _skill(said: Array, ids: Array) -> float:
    """Balanced accuracy between chance, 0, and perfect, 1."""
    counts = np.bincount(ids)
    recall = np.bincount(ids[said == ids], minlength=len(counts)) / counts
    return float((recall.mean() - 1 / len(counts)) / (1 - 1 / len(counts)))


def _finding(
    survey: Survey, places: Array, suggested: list[str], certainty: Array, classes: tuple[Array, tuple[str, ...]]
) -> Finding:
    ids, names = classes
    rows = listed(survey.sample.rows[places])
    told = [names[ids[place]] for place in places[: len(rows)]]
    values = [f"{own} → {other}?" for own, other in zip(told, suggested, strict=False)]
    return Finding(
        "label",
        "medium",
        f"{of_rows(len(places))} ({percent(len(places), len(survey.sample))}) may be labelled wrongly, "
        f"such as row {rows[0]}: {told[0]!r} looks like {suggested[0]!r}",
        "Look at them: hard cases are among them. clean(drop_mislabelled=True) leaves them out.",
        survey.target.name if survey.target is not None else "",
        len(places),
        rows,
        {"values": values, "certainty": [round(float(each), 3) for each in certainty[: len(rows)]]},
    )
