"""The pipeline that a model needs for the columns of a data set: written down, learned from the data, loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.pipeline.fitting import fit

if TYPE_CHECKING:
    from lepton_ai.datasets import Column, Dataset

Step = dict[str, Any]


def fit_pipeline(inputs: Sequence[Column], steps: Sequence[Step], data: Dataset) -> Pipeline:
    """A pipeline from these columns through these steps; steps with "fit" learn their state from the data."""
    document = {"inputs": {column.name: column.kind for column in inputs}, "steps": list(steps)}
    names = [column.name for column in inputs]
    fitted = fit(document, lambda: data.rows(names))
    return Pipeline.load(fitted.document, fitted.files)


def only_column(data: Dataset, *kinds: str) -> Column:
    """The single input column, which is of one of these kinds. Raises InvalidInput when it is not so."""
    columns = data.schema.inputs
    if len(columns) != 1 or columns[0].kind not in kinds:
        found = ", ".join(f"{column.name} ({column.kind})" for column in columns) or "none"
        raise InvalidInput(
            f"This model takes one input column of kind {' or '.join(kinds)}; the data set has {found}.",
            reason="WRONG_COLUMNS",
            fix='Choose it with data.select([...]), or mark the others: data.schema.with_roles(NAME="ignore").',
        )
    return columns[0]


def image_steps(column: str, shape: tuple[int, int, int]) -> list[Step]:
    """From an encoded picture to UINT8 [height, width, channels]; normalising is left to the network."""
    height, width, channels = shape
    return [
        {"op": "decode_image", "input": column, "mode": "L" if channels == 1 else "RGB"},
        {"op": "resize", "size": [width, height]},
        {"op": "to_tensor", "output": "image", "dtype": "UINT8", "layout": "HWC"},
    ]


def tabular_steps(columns: Sequence[Column], *, max_categories: int = 100) -> list[Step]:
    """From numbers and categories to one FP32 vector "features": no gaps, numbers standardised, categories one-hot."""
    numbers = [column.name for column in columns if column.kind == "number"]
    categories = [column.name for column in columns if column.kind == "category"]
    steps: list[Step] = []
    if numbers:
        steps += [
            {"op": "impute", "on": numbers, "fit": {"method": "median"}},
            {"op": "scale", "on": numbers, "fit": {"method": "standard"}},
        ]
    if categories:
        steps += [
            {"op": "impute", "on": categories, "fit": {"method": "most_frequent"}},
            {"op": "one_hot", "on": categories, "fit": {"max_categories": max_categories}},
        ]
    return [*steps, {"op": "concat", "on": [*numbers, *categories], "output": "features"}]
