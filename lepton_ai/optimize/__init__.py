"""Lighter variants of a model: made by many methods, measured on the machine that serves, chosen within a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.lazy import lazily

if TYPE_CHECKING:
    from lepton_ai.optimize.again import measure_again
    from lepton_ai.optimize.distil import distil
    from lepton_ai.optimize.entry import optimise
    from lepton_ai.optimize.ladder import measure_ladder
    from lepton_ai.optimize.measure.cpu import Cpu, check_cpu, this_cpu
    from lepton_ai.optimize.measure.ladder import best_rung
    from lepton_ai.optimize.result import Optimisation
    from lepton_ai.optimize.search.trial import Trial

__all__ = [
    "Cpu", "Optimisation", "Trial", "best_rung", "check_cpu", "distil", "measure_again", "measure_ladder", "optimise",
    "this_cpu",
]  # fmt: skip

_HOMES = {
    "Cpu": "lepton_ai.optimize.measure.cpu",
    "Optimisation": "lepton_ai.optimize.result",
    "Trial": "lepton_ai.optimize.search.trial",
    "best_rung": "lepton_ai.optimize.measure.ladder",
    "check_cpu": "lepton_ai.optimize.measure.cpu",
    "distil": "lepton_ai.optimize.distil",
    "measure_again": "lepton_ai.optimize.again",
    "measure_ladder": "lepton_ai.optimize.ladder",
    "optimise": "lepton_ai.optimize.entry",
    "this_cpu": "lepton_ai.optimize.measure.cpu",
}

__getattr__ = lazily(__name__, _HOMES)
