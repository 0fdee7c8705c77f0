"""What a search is asked, kept in its folder so that it can go on after a kill, and what it has found so far."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lepton_ai.archive import replacing
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput
from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.optimize.rows import Rows
from lepton_ai.optimize.search.trial import Trial
from lepton_ai.package import Package

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

Target = Literal["latency", "throughput", "size", "memory"]
_TASK, _TRIALS = "task.json", "trials.json"
_ORIGINAL, _CANDIDATES, _DATA, _SENT = "original", "candidates", "data.arrow", "sent.arrow"
_CALIBRATION, _JUDGED = "calibration.npz", "judged.npz"


@dataclass(frozen=True)
class Task:
    """What decides the outcome of every trial: with another one, what is known already does not hold."""

    of: str
    """Digest of the original's package."""
    rows: str
    """Digest of the rows."""
    target: Target
    max_loss: float
    cpu: Cpu

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Task:
        """What `document` gave."""
        cpu = document["cpu"]
        return cls(**{**document, "cpu": Cpu(cpu["model"], tuple(cpu["flags"]), cpu["cores"])})


class Folder:
    """The folder of a search: the original, the rows, the variants, and what is known of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.original = path / _ORIGINAL
        self.data = path / _DATA
        self.sent = path / _SENT
        self.answers = path / "answers.npz"
        self.report = path / "report.html"

    def variant(self, name: str) -> Path:
        """Where a candidate's package lies."""
        return self.path / _CANDIDATES / name

    def inputs(self) -> list[Path]:
        """The files and folders that all trials read."""
        names = (_TASK, _ORIGINAL, _DATA, _SENT, _CALIBRATION, _JUDGED)
        return [path for name in names if (path := self.path / name).exists()]

    def read_original(self) -> Package:
        """The original."""
        return Package.read(self.original)

    def read_rows(self) -> tuple[Rows, Rows]:
        """To calibrate with, and to judge by."""
        return Rows.read(self.path / _CALIBRATION), Rows.read(self.path / _JUDGED)

    def read_sent(self) -> Dataset | None:
        """The rows to judge by as they are sent; None where whole requests are not measured."""
        from lepton_ai.datasets import Dataset

        return Dataset.open(self.sent) if self.sent.exists() else None

    def write_rows(self, calibration: Rows, judged: Rows) -> None:
        """Keep them for the trials' processes, once. Raises ResourceExhausted for a full disk."""
        for rows, name in ((calibration, _CALIBRATION), (judged, _JUDGED)):
            if not (self.path / name).exists():
                rows.save(self.path / name)

    def begin(self, task: Task) -> Sequence[Trial]:
        """Take on a task; the trials that are known already if the same one was begun here before.

        Raises FailedPrecondition when the folder is another task's.
        """
        path = self.path / _TASK
        if path.exists() and self.read_task() != task:
            raise FailedPrecondition(
                f"{self.path.name} holds a search for another model, other data, target, bound or processor.",
                reason="OTHER_SEARCH",
                fix="Choose another folder, or remove this one.",
            )
        _write(path, task.document())
        return self.read_trials()

    def read_task(self) -> Task:
        """The task. Raises FailedPrecondition when this is no folder of a search."""
        path = self.path / _TASK
        if not path.exists():
            raise FailedPrecondition(f"{self.path.name} is no folder of `lepton optimise`.", reason="NO_SEARCH")
        return Task.of_document(_read(path))

    def read_trials(self) -> list[Trial]:
        """What is known so far."""
        path = self.path / _TRIALS
        return [Trial.of(each) for each in _read(path)] if path.exists() else []

    def write_trials(self, trials: Sequence[Trial]) -> None:
        """Keep what is known. Raises ResourceExhausted for a full disk."""
        _write(self.path / _TRIALS, [trial.document() for trial in trials])


def check_target(target: str) -> None:
    """Raises InvalidInput for a target that there is not."""
    if target not in get_args(Target):
        raise InvalidInput.of_field(
            "target", f"there is no {target!r}", fix=f"There are {', '.join(get_args(Target))}."
        )


def _write(path: Path, document: Any) -> None:
    with replacing(path) as file:
        file.write(json.dumps(document, ensure_ascii=False, indent=1).encode())


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataLoss(f"{path.name} of this search is damaged.", fix="Remove it; the search begins anew.") from error
