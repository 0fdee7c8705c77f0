"""Declarative pre- and post-processing, the same in training and serving: one operation is one small class."""

from lepton_ai.pipeline.catalogue import OperationDescription, describe_operations
from lepton_ai.pipeline.pipeline import Pipeline, StepObserver, file_names
from lepton_ai.pipeline.postprocess import Labelled, Postprocess, Scored, post_file_names
from lepton_ai.pipeline.values import Anomaly, Limits, Processed, RawValue, raw_inputs
from lepton_ai.pipeline.wiring import Output

__all__ = [
    "Anomaly",
    "Labelled",
    "Limits",
    "OperationDescription",
    "Output",
    "Pipeline",
    "Postprocess",
    "Processed",
    "RawValue",
    "Scored",
    "StepObserver",
    "describe_operations",
    "file_names",
    "post_file_names",
    "raw_inputs",
]
