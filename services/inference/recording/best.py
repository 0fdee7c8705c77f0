"""The one thing of an answer that is remembered."""

from __future__ import annotations

from typing import NamedTuple

from lepton_ai.postprocessing import Answered, Labels, Numbers


class Best(NamedTuple):
    """The best label with its score, or a single number without a label."""

    label: str
    value: float


def best_of(row: Answered) -> Best | None:
    """What users may say is right or wrong; None for answers of other kinds."""
    match row.answer:
        case Labels(labels=[best, *_]):
            return Best(best.name or str(best.index), best.score)
        case Numbers(numbers=[only]):
            return Best("", only.value)
    return None
