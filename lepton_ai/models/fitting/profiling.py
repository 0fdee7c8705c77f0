"""The profile of what a model is trained on, which live inputs are compared with later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.counts import InputCounts
from lepton_ai.inputs.features import FeatureReader
from lepton_ai.inputs.profile import Profile
from lepton_ai.pipeline import Pipeline

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

MOST_ROWS, MOST_FILES = 5000, 1000
"""Rows that are looked at, evenly over all; fewer where each holds a file that has to be decoded."""


def profile_inputs(pipeline: Pipeline, data: Dataset) -> Profile | None:
    """What the rows hold, as callers would send them. None where the rows are not what callers send."""
    if not set(pipeline.inputs) <= set(data.schema.names):
        return None
    reader = FeatureReader(pipeline.inputs, pipeline.readings)
    most = min(len(data), MOST_FILES if reader.has_files else MOST_ROWS)
    chosen = data.take(np.linspace(0, len(data) - 1, most).astype(int).tolist())
    counts = InputCounts()
    for row in chosen.rows(list(pipeline.inputs)):
        try:
            counts.add(reader.read(row))
        except InvalidInput:  # not a row that can be served; what training makes of it is not decided here
            continue
    return Profile.of(counts) if counts.rows else None
