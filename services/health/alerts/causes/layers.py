"""Which alerts may follow from which, and what is worth looking at to explain them. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class Layer(IntEnum):
    """What an alert is about; what is wrong in a lower layer shows in those above it."""

    MACHINE = 0
    STATE = 1
    PROCESS = 2
    LOAD = 3
    MODEL = 4
    PROMISE = 5
    USERS = 6
    LOG = 7


_LAYERS: Mapping[Layer, str] = {
    Layer.MACHINE: (
        "MemoryLow CpuSaturated DiskNearlyFull DiskFillsUp MemoryUnusual DiskUnusual CpuUnusual ProcessMemoryGrows "
        "FileDescriptorsLow SupervisorDown CertificateNearlyExpired"
    ),
    Layer.STATE: "EtcdDown EtcdNoLeader EtcdSlow EtcdNearlyFull",
    Layer.PROCESS: (
        "InferenceDown ServiceDown ServiceDegraded ReplicaDown TritonDown TritonRestarts ProcessDown ProcessRestarts"
    ),
    Layer.LOAD: "QueueSaturated RequestsShed PreprocessingQueues CallsRepeated TrafficUnusual QueueUnusual",
    Layer.MODEL: (
        "ModelDown ModelDegraded ModelNotProbed ModelErrors ModelSomeErrors ModelSlow LatencyUnusual ErrorsUnusual "
        "InputDrift"
    ),
    Layer.PROMISE: "AvailabilityBurn LatencyBurn OutputDrift",
    Layer.USERS: "ModelQualityDropped ModelWorseThanBefore RatingsDropped ComplaintBurst",
    Layer.LOG: "NewErrorTemplate LogBurst",
}
LAYER_OF: Mapping[str, Layer] = {name: layer for layer, names in _LAYERS.items() for name in names.split()}
"""Alerts whose causes are looked for. The others say themselves what is wrong, such as a certificate that expires."""
HOGGED: Mapping[str, str] = {"MemoryLow": "memory", "MemoryUnusual": "memory", "CpuSaturated": "CPU"}
"""Alerts of a machine → that of which some process may take too much."""
RESTARTS = frozenset({"TritonRestarts", "ProcessRestarts"})
_SLOW = frozenset({"ModelSlow", "LatencyUnusual", "LatencyBurn"})
_DRIFT = frozenset({"InputDrift", "OutputDrift"})

_WEIGHTS: Mapping[Layer, Mapping[str, float]] = {
    Layer.MACHINE: {"process": 0.9, "change": 0.5},
    Layer.STATE: {"alert": 1.0, "machine": 0.8, "log": 0.8, "change": 0.6, "process": 0.5},
    Layer.PROCESS: {"alert": 1.0, "log": 0.9, "change": 0.8, "process": 0.7, "machine": 0.6},
    Layer.LOAD: {"alert": 1.0, "machine": 0.9, "process": 0.8, "change": 0.7, "log": 0.5},
    Layer.MODEL: {"alert": 1.0, "process": 0.95, "change": 0.85, "log": 0.75, "errors": 0.7, "machine": 0.4},
    Layer.PROMISE: {"alert": 1.0, "process": 0.95, "change": 0.85, "log": 0.75, "errors": 0.7, "machine": 0.4},
    Layer.USERS: {"alert": 1.0, "change": 0.9},
    Layer.LOG: {"alert": 1.0, "process": 0.9, "change": 0.8, "machine": 0.5},
}
_WEIGHTS_OF_SLOWNESS = {"alert": 1.0, "machine": 0.9, "change": 0.85, "process": 0.75, "log": 0.5}
_WEIGHTS_OF_DRIFT = {"alert": 1.0, "change": 0.9}


def weights_of(name: str) -> Mapping[str, float]:
    """Kind of cause → how much it explains of alerts with this name, 0 to 1; empty where nothing is to be explained."""
    if name in _SLOW:
        return _WEIGHTS_OF_SLOWNESS
    if name in _DRIFT:
        return _WEIGHTS_OF_DRIFT
    layer = LAYER_OF.get(name)
    return {} if layer is None else _WEIGHTS[layer]
