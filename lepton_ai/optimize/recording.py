"""Writes into a variant's lepton.yaml how it was made and what was measured where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.optimize.measure.engines import serving_engine
from lepton_ai.optimize.variant import record_measurement

if TYPE_CHECKING:
    from lepton_ai.optimize.measure.measured import Measured
    from lepton_ai.optimize.search.task import Folder, Task
    from lepton_ai.optimize.search.trial import Trial


def record(folder: Folder, task: Task, trial: Trial) -> None:
    """Record a measured trial in its package; nothing for others."""
    if trial.measured is not None and not trial.is_original:
        record_measurement(folder.variant(trial.name), section(task, trial.name, trial.measured))


def section(task: Task, method: str, measured: Measured) -> dict[str, Any]:
    """The section `optimised` of lepton.yaml."""
    speed, accuracy = measured.speed, measured.accuracy
    return {
        "of": task.of,
        "method": method,
        "cpu": task.cpu.model,
        "flags": list(task.cpu.flags),
        "engine": serving_engine(),
        "batch": speed.load.batch,
        "threads": speed.load.threads,
        **({"whole": True} if speed.load.whole else {}),
        "time_ms": _rounded(speed.time_ms),
        "speed_up": _rounded(speed.ratio.value),
        "speed_up_interval": [_rounded(speed.ratio.low), _rounded(speed.ratio.high)],
        "metric": accuracy.metric,
        "loss": _rounded(accuracy.loss.value),
        "loss_interval": [_rounded(accuracy.loss.low), _rounded(accuracy.loss.high)],
        "max_loss": task.max_loss,
        "rows": accuracy.rows,
        "size_bytes": measured.size_bytes,
        "memory_bytes": measured.memory_bytes,
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
