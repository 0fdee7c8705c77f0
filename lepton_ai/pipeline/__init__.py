"""Declarative preprocessing, the same in training and serving: one operation is one small class."""

from lepton_ai.pipeline.catalogue import OperationDescription, describe_operations
from lepton_ai.pipeline.pipeline import Pipeline, StepObserver, file_names
from lepton_ai.pipeline.values import Anomaly, Limits, Processed, RawValue, raw_inputs
from lepton_ai.pipeline.wiring import Output

__all__ = [
    "Anomaly",
    "Limits",
    "OperationDescription",
    "Output",
    "Pipeline",
    "Processed",
    "RawValue",
    "StepObserver",
    "describe_operations",
    "file_names",
    "raw_inputs",
]
