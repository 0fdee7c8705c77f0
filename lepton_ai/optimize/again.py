"""Measures a variant again, on a processor other than the one that it was measured on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.errors import FailedPrecondition
from lepton_ai.optimize.candidate import Candidate, Step
from lepton_ai.optimize.entry import lay_out
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.portions import portion
from lepton_ai.optimize.recording import section
from lepton_ai.optimize.search.process import trial_of, work
from lepton_ai.optimize.search.task import Folder, Task
from lepton_ai.optimize.variant import record_measurement
from lepton_ai.package import Package, copy_package

if TYPE_CHECKING:
    from lepton_ai.models.data import Data

_TIMEOUT_S = 600.0
_FIX = "Make a variant here: lepton optimise."
_AGAIN = Candidate((Step("again"),))


def measure_again(
    original: Package,
    variant: Package,
    data: Data | Path | str | None = None,
    *,
    max_loss: float = 0.005,
    answer: str = "",
) -> Package:
    """Measure a variant beside its original on this machine and write the figures into its lepton.yaml.

    Raises FailedPrecondition when it was made of another version, and when it loses more than `max_loss` here: then
    its lepton.yaml stays as it is.
    """
    was = variant.description.optimised
    if was is None or was.of != original.digest:
        made = "is no variant" if was is None else f"was made of {was.of[:12]}, not of {original.digest[:12]}"
        raise FailedPrecondition(f"The package {made}.", reason="OTHER_ORIGINAL", fix="Name the one it was made of.")
    portions = portion(original, data, answer=answer)
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        folder = Folder(Path(place))
        task = Task(original.digest, portions.digest, "latency", max_loss, this_cpu())
        folder.begin(task)
        lay_out(folder, original, portions)
        copy_package(variant, folder.variant(_AGAIN.name))
        trial = trial_of(_AGAIN, work(folder, "measure", _AGAIN, _TIMEOUT_S))
    if trial.measured is None:
        raise FailedPrecondition(f"On this processor it {trial.problem}.", reason="LOSES_TOO_MUCH", fix=_FIX)
    if not trial.meets(max_loss):
        lost = f"loses {trial.measured.accuracy.loss.value:.2%} of {trial.measured.accuracy.metric}"
        raise FailedPrecondition(f"On this processor it {lost}.", reason="LOSES_TOO_MUCH", fix=_FIX)
    return record_measurement(variant.directory, section(task, was.method, trial.measured))
