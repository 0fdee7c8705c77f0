"""Splits a data set into train and test: stratified, by groups, by time; the same for the same seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.cells import category_text
from lepton_ai.datasets.gather import Indices
from lepton_ai.datasets.times import seconds_since_1970
from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset


def split(
    data: Dataset,
    test: float = 0.2,
    *,
    seed: int = 0,
    stratify: bool = True,
    group: str | None = None,
    by_time: bool | str | None = None,
) -> tuple[Dataset, Dataset]:
    """Train and test as two data sets, of which the test one has about a share `test` of the rows.

    With a category as the target every class is shared out alike (`stratify`). Rows of one group, which is `group` or
    the schema's column of that role, never come apart. `by_time` (a column, or True for the schema's) tests on the
    latest rows, whatever their group. Raises InvalidInput for an empty set, a class or group that leaves nothing for
    one side, and times that are missing.
    """
    if not 0 < test < 1:
        raise InvalidInput.of_field("test", f"{test} is not between 0 and 1", fix="Give a share such as 0.2.")
    if len(data) < 2:
        raise InvalidInput(f"{len(data)} rows cannot be split in two.", reason="EMPTY_SET", fix="Collect more rows.")
    if any(operation.name == "oversample" for operation in data.source_lineage.operations):
        raise InvalidInput(
            "The data was oversampled: copies of a row would be in both parts.",
            reason="OVERSAMPLED",
            fix="Split first, then oversample the training part; give fit its validation data.",
        )
    if group is not None and by_time:
        fix = "Choose one; groups that straddle the time would have to be cut or left out."
        raise InvalidInput("A set is split by groups or by time, not by both.", reason="GROUP_AND_TIME", fix=fix)
    group = group or _role_name(data, "group")
    if by_time:
        train, held = _by_time(data, test, by_time if isinstance(by_time, str) else None)
    elif group is not None:
        train, held = _by_group(data, test, group, np.random.default_rng(seed))
    elif stratify and data.schema.target is not None and data.schema.target.kind == "category":
        train, held = _stratified(data, test, np.random.default_rng(seed))
    else:
        train, held = _anyhow(len(data), test, np.random.default_rng(seed))
    parameters = {"test": test, "seed": seed, "stratify": stratify, "group": group, "by_time": by_time}
    return (
        data.taken(train, "split", {**parameters, "part": "train"}),
        data.taken(held, "split", {**parameters, "part": "test"}),
    )


def _role_name(data: Dataset, role: Any) -> str | None:
    column = data.schema.with_role(role)
    return column.name if column is not None else None


def _anyhow(rows: int, test: float, random: np.random.Generator) -> tuple[Indices, Indices]:
    order = random.permutation(rows)
    count = min(rows - 1, max(1, round(rows * test)))
    return np.sort(order[count:]), np.sort(order[:count])


def _stratified(data: Dataset, test: float, random: np.random.Generator) -> tuple[Indices, Indices]:
    ids = data.target_ids()
    present, counts = np.unique(ids, return_counts=True)
    name = data.schema.target.name if data.schema.target else ""
    if len(present) < 2:
        only = data.classes[int(present[0])]
        raise InvalidInput.of_field(
            name,
            f"all rows are {only!r}: one class only",
            reason="ONE_CLASS",
            fix="Collect rows of another class, or split with stratify=False.",
        )
    if counts.min() < 2:
        rare = [data.classes[int(present[at])] for at in np.flatnonzero(counts < 2)[:8]]
        raise InvalidInput.of_field(
            name,
            f"only one row is {', '.join(map(repr, rare))}, and both parts need one",
            reason="RARE_CLASS",
            fix="Collect more of it, leave it out, or split with stratify=False.",
        )
    held = [
        random.permutation(np.flatnonzero(ids == each))[:count]
        for each, count in zip(present, _shares(counts, test), strict=True)
    ]
    mask = np.zeros(len(ids), dtype=bool)
    mask[np.concatenate(held)] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _shares(counts: Indices, test: float) -> Indices:
    """How many of every class to hold out: at least one, never all, by largest remainder so that the sum is right."""
    exact = counts * test
    shares = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(shares.sum())
    for at in np.argsort(-(exact - shares), kind="stable")[: max(0, missing)]:
        shares[at] += 1
    clipped: Indices = np.clip(shares, 1, counts - 1)
    return clipped


def _by_group(data: Dataset, test: float, group: str, random: np.random.Generator) -> tuple[Indices, Indices]:
    """Whole groups in seeded order, each held out while it brings the test part nearer to its share."""
    names = [category_text(value) for value in _column(data, group).to_pylist()]
    if missing := names.count(None):
        raise InvalidInput.of_field(group, f"{missing} rows have no group", fix="Fill or drop them.")
    _, ids, counts = np.unique(np.array(names, dtype=object), return_inverse=True, return_counts=True)
    wanted = len(ids) * test
    held: list[int] = []
    total = 0
    for each in random.permutation(len(counts)):
        if abs(total + counts[each] - wanted) < abs(total - wanted) and len(held) + 1 < len(counts):
            held.append(int(each))
            total += int(counts[each])
    if not held:
        raise InvalidInput.of_field(
            group,
            f"even its smallest group has {int(counts.min())} of {len(ids)} rows, too many for a test share of {test}",
            reason="GROUP_TOO_LARGE",
            fix=f"Use a test share of {math.ceil(100 * counts.min() / len(ids)) / 100} or more, or smaller groups."
            if len(counts) > 1
            else "There must be two groups or more.",
        )
    mask = np.isin(ids, held)
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _by_time(data: Dataset, test: float, column: str | None) -> tuple[Indices, Indices]:
    """The latest rows are held out; rows of the same time stay together, so that nothing is trained on its own time."""
    name = column or _role_name(data, "time")
    if name is None:
        raise InvalidInput("There is no time column to split by.", fix='Name one: by_time="column".', reason="NO_TIME")
    times = seconds_since_1970(_column(data, name), data.schema[name].date_order)
    if missing := int(np.isnan(times).sum()):
        raise InvalidInput.of_field(name, f"{missing} of {len(times)} rows have no time", fix="Fill or drop them.")
    order = np.argsort(times, kind="stable")
    count = min(len(times) - 1, max(1, round(len(times) * test)))
    starts = np.unique(times)[1:]
    if not starts.size:
        raise InvalidInput.of_field(name, "all rows have the same time", fix="Split without by_time.")
    begin = starts[np.argmin(np.abs(starts - times[order[-count]]))]
    return order[times[order] < begin], order[times[order] >= begin]


def _column(data: Dataset, name: str) -> Any:
    import pyarrow as pa

    kind = data.schema[name]
    batches = [batch.column(0) for batch in data.batches([kind.name], batch_rows=65_536)]
    return pa.chunked_array(batches)
