"""Data sets from users' feedback: what callers sent, the labels that users say are right, and where each is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, cast

from lepton_ai.datasets.arrow.arrays import rows_table, to_arrow
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.inference import natural_order
from lepton_ai.datasets.lineage import Lineage, Operation
from lepton_ai.datasets.schema import KINDS, Column, Kind, Schema
from lepton_ai.errors import InvalidInput
from lepton_ai.feedback.examples import Example, Examples, Selection

if TYPE_CHECKING:
    from lepton_ai.addresses import Addresses

_FROM: dict[str, Kind] = {
    "prediction_id": "text",
    "version": "number",
    "predicted_at": "time",
    "predicted": "category",
    "score": "number",
    "said_at": "time",
    "source_kind": "category",
    "source": "text",
    "other": "category",
}
"""Columns that say where a row is from; no model reads them."""


def from_feedback(
    model: str,
    *,
    target: str = "label",
    origin: bool = True,
    addresses: Addresses | None = None,
    **selection: Unpack[Selection],
) -> Dataset:
    """What users said of a model's predictions as rows to `fit` on: inputs as callers sent them, and the right label.

    Only inputs whose package allows that they are kept (docs/feedback.md). The target is called `target`; without
    `origin` there are no columns but inputs and target, as `Dataset.concat` with other data needs. By default rows with
    a label; `which="corrected"` gives those that the model had wrong, `which="unlabelled"` those to be labelled.
    Platform and token are found as `Client` finds them. Raises NotFound when there is none, Unauthenticated.
    """
    from lepton_ai.client import Client

    with Client(addresses) as client:
        return as_dataset(client.feedback_examples(model, **selection), target, selection, origin=origin)


def as_dataset(examples: Examples, target: str, selection: Selection, *, origin: bool) -> Dataset:
    """Examples as a data set. Raises NotFound when there is none, InvalidInput for names that clash."""
    examples.check_some()
    names = list(examples.kinds) or list(examples.examples[0].inputs)
    for name in names:
        if name == target or (origin and name in _FROM):
            raise InvalidInput.of_field(
                name, "is an input of the model", fix="Call the target otherwise, or origin=False."
            )
    labels = [_label(each, examples) for each in examples]
    values: dict[str, list[Any]] = {name: [each.inputs.get(name) for each in examples] for name in names}
    values[target] = labels
    columns = [Column(name, _kind(examples.kinds.get(name, ""))) for name in names]
    columns.append(_target(target, labels, examples))
    if origin:
        values |= {name: [getattr(each, name) for each in examples] for name in _FROM}
        columns += [Column(name, kind, "ignore") for name, kind in _FROM.items()]
    table = rows_table((name, to_arrow(name, values[name])) for name in values)
    return Dataset(
        table, Schema(tuple(columns)), name=f"feedback of {examples.model}", lineage=_lineage(examples, selection)
    )


def _label(example: Example, examples: Examples) -> str | float | None:
    if example.label is None or not examples.is_of_numbers:
        return example.label
    try:
        return float(example.label)
    except ValueError:
        return None


def _target(name: str, labels: list[Any], examples: Examples) -> Column:
    if examples.is_of_numbers:
        return Column(name, "number", "target")
    return Column(
        name, "category", "target", tuple(sorted({each for each in labels if each is not None}, key=natural_order))
    )


def _kind(kind: str) -> Kind:
    return cast("Kind", kind) if kind in KINDS else "tensor"


def _lineage(examples: Examples, selection: Selection) -> Lineage:
    versions = ", ".join(map(str, sorted({each.version for each in examples})))
    told = {name: value if isinstance(value, int | float | str) else str(value) for name, value in selection.items()}
    counted = {
        "without_input": examples.without_input,
        "over_limit": examples.over_limit,
        "sources": len({each.source for each in examples if each.source}),
    }
    operation = Operation("from_feedback", told | counted, len(examples))
    return Lineage(source=f"feedback of {examples.model}, versions {versions}", operations=(operation,))
