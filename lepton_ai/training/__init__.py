"""Training: the loop, what it is told, what it watches and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.lazy import lazily

if TYPE_CHECKING:
    from lepton_ai.models.cluster import fit_on_ray
    from lepton_ai.models.cross_validation import CrossValidation, cross_validate
    from lepton_ai.training.callbacks import Callback, TrainingState
    from lepton_ai.training.doctor import Doctor
    from lepton_ai.training.history import History
    from lepton_ai.training.loggers import MLflowLogger, TensorBoardLogger
    from lepton_ai.training.lr_finder import LearningRateCurve
    from lepton_ai.training.plateau import PlateauSchedule
    from lepton_ai.training.schedules import steps_down
    from lepton_ai.training.settings import FitSettings

__all__ = [
    "Callback",
    "CrossValidation",
    "Doctor",
    "FitSettings",
    "History",
    "LearningRateCurve",
    "MLflowLogger",
    "PlateauSchedule",
    "TensorBoardLogger",
    "TrainingState",
    "cross_validate",
    "fit_on_ray",
    "steps_down",
]

_HOMES = {
    "Callback": "lepton_ai.training.callbacks",
    "CrossValidation": "lepton_ai.models.cross_validation",
    "Doctor": "lepton_ai.training.doctor",
    "FitSettings": "lepton_ai.training.settings",
    "History": "lepton_ai.training.history",
    "LearningRateCurve": "lepton_ai.training.lr_finder",
    "MLflowLogger": "lepton_ai.training.loggers",
    "PlateauSchedule": "lepton_ai.training.plateau",
    "TensorBoardLogger": "lepton_ai.training.loggers",
    "TrainingState": "lepton_ai.training.callbacks",
    "cross_validate": "lepton_ai.models.cross_validation",
    "fit_on_ray": "lepton_ai.models.cluster",
    "steps_down": "lepton_ai.training.schedules",
}

__getattr__ = lazily(__name__, _HOMES)
