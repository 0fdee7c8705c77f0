"""Shows rows of a data set, as they are or varied: pictures and sounds on a sheet, anything else as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lepton_ai.datasets.augment.compose import Wanted, make_augment
from lepton_ai.datasets.show.listing import list_rows
from lepton_ai.datasets.show.pictures import is_picture_tensor, picture_sheet
from lepton_ai.datasets.show.shown import Listing, Sheet, present
from lepton_ai.datasets.show.sounds import sound_sheet
from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset
    from lepton_ai.datasets.schema import Column

__all__ = ["Listing", "Sheet", "show"]

_MOST = 400


def show(data: Dataset, n: int = 16, augment: Wanted = None, *, seed: int = 0) -> Sheet | Listing:
    """Some rows, drawn by the seed. With `augment`, every line is one row: as it is, then varied in several ways.

    A notebook displays what this gives; elsewhere a table is printed and a sheet is saved, and said where. In a sheet,
    augmentations see pictures in their own size when all have the same, else 128×128; sounds as log-mel spectrograms.
    Raises InvalidInput for an empty set and for an augmentation that is for another kind of data.
    """
    if len(data) == 0:
        raise InvalidInput("There is nothing to show: the data set is empty.", reason="EMPTY_SET")
    if not 1 <= n <= _MOST:
        raise InvalidInput.of_field("n", f"is {n}, must be from 1 to {_MOST}")
    vary = make_augment(augment)
    random = np.random.default_rng(seed)
    column = _column_on_sheet(data)
    if column is None:
        return present(list_rows(data, n, vary, random))
    sheet = sound_sheet if column.kind == "sound" else picture_sheet
    return present(sheet(data, column, n, vary, random))


def _column_on_sheet(data: Dataset) -> Column | None:
    """The first input that is to be seen rather than read."""
    for column in data.schema.inputs:
        if column.kind in ("image", "sound"):
            return column
        if column.kind == "tensor" and is_picture_tensor(data.select([column.name]).row(0)[column.name]):
            return column
    return None
