"""Whole requests: the pipeline on what was sent, then the model on what it makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.optimize.measure.engines import Run
from lepton_ai.optimize.rows import as_named
from lepton_ai.package import Package
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

_MOST_ROWS = 32


def whole_request(package: Package, data: Dataset, run: Run) -> Run:
    """A call that answers the next row of `data`, from the first one on, whatever tensors it is given."""
    from lepton_ai.pipeline import Pipeline

    document = package.pipeline_document()
    assert document is not None  # noqa: S101 - callers have looked
    pipeline = Pipeline.load(document, package.pipeline_files())
    rows = itertools.cycle(list(as_named(data[:_MOST_ROWS], list(pipeline.inputs)).rows(list(pipeline.inputs))))

    def answer(feeds: Mapping[str, Array]) -> Sequence[Any]:
        tensors = pipeline.run(next(rows)).tensors
        return run({name: np.asarray(array)[np.newaxis] for name, array in tensors.items()})

    return answer
