"""Categories as numbers, for embeddings: one out of many, where a one-hot vector would be too wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr

from lepton_ai.pipeline.columns import Categories, Column, ColumnsCall, Unusual
from lepton_ai.pipeline.operation import Call, FileName, Spec, ValueOperation, expect
from lepton_ai.pipeline.values import one_form
from lepton_ai.pipeline.vocabulary import read_vocabulary

UNKNOWN_INDEX = 0
"""Stands for every category that the file does not name."""

_UNKNOWN = ("UNKNOWN_CATEGORY", "is not a known category")


class CategoryIndex(ValueOperation):
    """Turns a category into its line number in a file, counted from 1; an unknown one is flagged and becomes 0."""

    name: ClassVar[str] = "category_index"
    file_parameters: ClassVar[tuple[str, ...]] = ("categories",)
    categories: FileName = Field(description="File with one category a line, UTF-8, in order.")
    unknown: Literal["zero", "refuse"] = Field(default="zero", description="What to do with any other category.")
    _indexes: Mapping[str, int] = PrivateAttr(default_factory=dict)

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        loaded = self.model_copy()
        lines = read_vocabulary(files[self.categories], parameter="categories")
        loaded._indexes = {one_form(name): line for name, line in reversed(lines.items())}
        return loaded

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "category")
        return (Spec("tensor", "INT64", (1,), channel_axis=0),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        if values[0] is None:
            raise call.refusal("is missing", reason="MISSING_VALUE", fix="Send it, or add an impute step.")
        index = self._indexes.get(values[0])
        if index is None:
            if self.unknown == "refuse":
                raise call.refusal(
                    "is not one of the known categories",
                    reason="UNKNOWN_CATEGORY",
                    fix=f"Send one of the {len(self._indexes)} categories of the pipeline.",
                )
            call.flag(*_UNKNOWN)
        return (np.array([UNKNOWN_INDEX if index is None else index + 1], dtype=np.int64),)

    def apply_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> tuple[Column, ...]:
        column: Categories = columns[0]
        column.check_present()
        lines = (UNKNOWN_INDEX if name is None else self._indexes.get(name, -1) + 1 for name in column.names)
        indexes = column.spread(lines, np.int64)
        unknown = indexes == UNKNOWN_INDEX
        if self.unknown == "refuse" and unknown.any():
            raise Unusual
        call.flag(unknown, *_UNKNOWN)
        return (indexes[:, np.newaxis],)
