"""Predictions as replicas tell them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lepton_ai.mesh.prediction_ids import make_prediction_id, user_hash, version_tag
from lepton_ai.postprocessing import Answered, Label, Labels
from lepton_ai.v1 import feedback_pb2
from services.inference.recording.columns import NO_USER, Columns

MODEL = "animals"


def answer(label: str, score: float = 0.9) -> Answered:
    return Answered(Labels([Label(0, label, score)]))


def told(
    labels: Sequence[str], *, version: int = 1, user: str = "", score: float = 0.9, variant: str = ""
) -> tuple[list[str], feedback_pb2.RememberedPredictions]:
    """Ids of predictions with these labels, and the message that tells of them."""
    columns = Columns(MODEL, version, variant)
    ids = [make_prediction_id(version_tag(MODEL, version)) for _ in labels]
    for made, label in zip(ids, labels, strict=True):
        columns.add(made, 0, answer(label, score), 1000, user_hash(user) if user else NO_USER)
    return ids, columns.message()


def id_at(seconds: float, version: int = 1) -> str:
    """The id of a prediction that was made then."""
    fresh = make_prediction_id(version_tag(MODEL, version))
    return f"{int(seconds * 1000):012x}{fresh[12:]}"


NOW = time.time()
