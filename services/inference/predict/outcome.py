"""What became of one raw item on its way through preprocessing and the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lepton_ai.errors import LeptonError
from lepton_ai.pipeline.postprocess import Scored
from lepton_ai.v1 import preprocess_pb2
from services.inference.rows import Rows


@dataclass(slots=True)
class ItemOutcome:
    """One item's row of the outputs with its labels, or its error, what was odd about it, and how long it took."""

    rows: Rows | None = None
    error: LeptonError | None = None
    anomalies: Sequence[preprocess_pb2.InputAnomaly] = ()
    labels: Sequence[Scored] = ()
    preprocess_us: int = 0
    queue_us: int = 0
    compute_us: int = 0

    @property
    def busy_us(self) -> int:
        """All stages together."""
        return self.preprocess_us + self.queue_us + self.compute_us
