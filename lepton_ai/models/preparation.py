"""The pipeline that a model needs for the columns of a data set: written down, learned from the data, loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.column_batches import column_batches
from lepton_ai.datasets.texts.settling import served_reading
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.pipeline.fitting import fit
from lepton_ai.tensors import Array, dtype_name

if TYPE_CHECKING:
    from lepton_ai.datasets import Column, Dataset

Step = dict[str, Any]


def fit_pipeline(inputs: Sequence[Column], steps: Sequence[Step], data: Dataset) -> Pipeline:
    """A pipeline from these columns through these steps; steps with "fit" learn their state from the data."""
    document: dict[str, Any] = {"inputs": {column.name: column.kind for column in inputs}, "steps": list(steps)}
    types = {column.name: data.arrow_schema.field(column.name).type for column in inputs}
    readings = {column.name: served_reading(column, types[column.name]) for column in inputs}
    if served := {name: reading.document() for name, reading in readings.items() if reading is not None}:
        document["readings"] = served
    names = [column.name for column in inputs]
    fitted = fit(document, lambda: data.rows(names), batches=lambda: column_batches(data, names))
    return Pipeline.load(fitted.document, fitted.files)


def only_column(data: Dataset, *kinds: str) -> Column:
    """The single input column, which is of one of these kinds. Raises InvalidInput when it is not so.

    Where a text will do, texts that repeat and were therefore taken for categories are texts.
    """
    columns = tuple(
        replace(column, kind="text") if "text" in kinds and column.kind == "category" else column
        for column in data.schema.inputs
    )
    if len(columns) != 1 or columns[0].kind not in kinds:
        found = ", ".join(f"{column.name} ({column.kind})" for column in columns) or "none"
        are_pixels = kinds == ("image",) and [column.kind for column in columns] == ["tensor"]
        raise InvalidInput(
            f"This model takes one input column of kind {' or '.join(kinds)}; the data set has {found}.",
            reason="WRONG_COLUMNS",
            fix="Arrays of pixels become pictures as [PIL.Image.fromarray(each) for each in arrays]."
            if are_pixels
            else "Choose it with data.select([...]), or mark the others: "
            'data.with_schema(data.schema.with_roles(NAME="ignore")).',
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


def picture_steps(data: Dataset, shape: tuple[int, int, int]) -> tuple[Column, list[Step]]:
    """The column of pictures with the steps to [height, width, channels], 0 to 255: files, or arrays of that shape.

    Arrays are of bytes, or of floats from 0 to 1. Raises InvalidInput for other columns, and for arrays of another
    shape, type or range.
    """
    column = only_column(data, "image", "tensor")
    if column.kind == "image":
        return column, image_steps(column.name, shape)
    first = first_tensor(column, data)
    fitting = (shape, shape[:2]) if shape[2] == 1 else (shape,)
    if first.shape not in fitting or (first.dtype != np.uint8 and first.dtype.kind != "f"):
        is_turned = first.shape == (shape[2], *shape[:2])
        raise InvalidInput.of_field(
            column.name,
            f"holds {first.dtype} {list(first.shape)}; this model takes uint8 {list(shape)}, 0 to 255, or floats to 1",
            reason="WRONG_SHAPE",
            fix="Put the channels last: x.transpose(0, 2, 3, 1)."
            if is_turned
            else "Convert the arrays, or make the model with their input_shape.",
        )
    if first.dtype == np.uint8:
        return column, [tensor_step(column, data, output="image")]
    _check_brightness(column, data)
    scale: Step = {"op": "normalize", "input": "pixels", "output": "image", "scale": 255.0}
    return column, [tensor_step(column, data, output="pixels"), scale]


def _check_brightness(column: Column, data: Dataset) -> None:
    """Raises InvalidInput for pictures of floats that are not from 0 to 1, naming the row."""
    for number, row in enumerate(data.rows([column.name])):
        pixels = np.asarray(row[column.name])
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise InvalidInput.of_field(
                column.name,
                f"row {number} has values from {pixels.min():.4g} to {pixels.max():.4g}; floats are from 0 to 1",
                reason="WRONG_RANGE",
                fix="Divide them by 255, or give them as uint8.",
            )


def tensor_step(column: Column, data: Dataset, *, output: str, wide: bool = False) -> Step:
    """Takes arrays as they are, all like the first one; floats of any width as FP32, as networks do.

    With `wide` FP64 stays FP64, for a step that normalises it: what differs in the last digits is lost in FP32.
    """
    first = first_tensor(column, data)
    is_wide = wide and first.dtype == np.float64
    dtype = "FP32" if first.dtype.kind == "f" and not is_wide else dtype_name(first.dtype)
    return {"op": "tensor", "input": column.name, "dtype": dtype, "shape": list(first.shape), "output": output}


def first_tensor(column: Column, data: Dataset) -> Array:
    """What the others are expected to be like. Raises InvalidInput when there is none."""
    first = next(data.rows([column.name]))[column.name]
    if not isinstance(first, np.ndarray):
        raise InvalidInput.of_field(column.name, "the first row holds no tensor", fix="Drop such rows.")
    return first


def row_steps(columns: Sequence[Column], data: Dataset) -> list[Step]:
    """From what describes a row to one FP32 tensor "features": numbers and categories, or one array of numbers.

    Raises InvalidInput for other columns.
    """
    if len(columns) == 1 and columns[0].kind == "tensor":
        step = tensor_step(columns[0], data, output="array", wide=True)
        per = "channel" if len(step["shape"]) == 1 else "all"
        return [step, {"op": "normalize", "input": "array", "output": "features", "fit": {"per": per}}]
    strange = next((column for column in columns if column.kind not in ("number", "category")), None)
    if strange is None and columns:
        return tabular_steps(columns)
    found = f"{strange.name!r} is of kind {strange.kind}" if strange else "there are none"
    raise InvalidInput(
        f"The model takes columns of numbers and categories, or one array of numbers a row; {found}.",
        reason="WRONG_COLUMNS",
        fix='Mark it: data.with_schema(data.schema.with_roles(NAME="ignore")).',
    )


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
