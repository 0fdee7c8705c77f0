"""What became of a request, in plain values: every protocol writes its answer from this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.pipeline.frames import Frame
from lepton_ai.postprocessing import Answered
from lepton_ai.v1 import preprocess_pb2
from services.inference.routing.routes import Resolved
from services.inference.rows import Rows, join


@dataclass(slots=True)
class Outcome:
    """One raw item's row of the outputs, or all rows of a call with tensors; or the error, and how long it took."""

    rows: Rows | None = None
    error: LeptonError | None = None
    anomalies: Sequence[preprocess_pb2.InputAnomaly] = ()
    frame: Frame | None = None
    """How the pixels of its picture were moved, where the model takes one."""
    preprocess_us: int = 0
    queue_us: int = 0
    compute_us: int = 0
    batch_rows: int = 1
    """Rows of the batch that `compute_us` is the time of."""

    @property
    def busy_us(self) -> int:
        """Time of all stages together, in microseconds."""
        return self.preprocess_us + self.queue_us + self.compute_us


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """The answer of one version."""

    resolved: Resolved
    outcomes: Sequence[Outcome]
    """One for every raw item, in order; a single one for tensors."""
    answers: Sequence[Answered] = ()
    """Of every row that was answered, in order; empty when none were asked for or the model's package declares none."""
    postprocess_us: int = 0
    cached_rows: int = 0
    """How many rows were not computed for this call."""

    @property
    def slowest(self) -> Outcome:
        """The outcome that took longest."""
        return max(self.outcomes, key=lambda outcome: outcome.busy_us)

    @property
    def parts(self) -> Sequence[Rows]:
        """The rows that were answered, outcome by outcome."""
        return [outcome.rows for outcome in self.outcomes if outcome.rows is not None and outcome.error is None]

    def answered_rows(self) -> Iterator[tuple[int, Answered]]:
        """Every answer with the number of its row, or of its item in the call."""
        if len(self.outcomes) in (1, len(self.answers)):
            return enumerate(self.answers)
        numbers = (index for index, outcome in enumerate(self.outcomes) if outcome.rows is not None)
        return zip(numbers, self.answers, strict=False)

    @property
    def is_ragged(self) -> bool:
        """Whether the outputs of the outcomes differ in shape, so that they do not make one tensor."""
        parts = self.parts
        return len(parts) > 1 and len({part.layout for part in parts}) > 1

    def rows(self) -> Rows | None:
        """All rows that were answered, as one; None when there are none. Raises FailedPrecondition (RAGGED_OUTPUTS)."""
        if self.is_ragged:
            raise FailedPrecondition(
                "The outputs of these items differ in shape, so they do not make one tensor.",
                reason="RAGGED_OUTPUTS",
                fix="Send the items in calls of their own.",
            )
        parts = self.parts
        return join(parts) if parts else None
