"""Lepton: train, optimise, pack, push, deploy and call models on a served, traced, self-healing platform."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lepton_ai.lazy import lazily

# gRPC's own fork support, on unless this says otherwise, is for its blocking API. Beside grpc.aio it gives up, yet
# starts its threads again in the child, where they end it with SIGABRT now and then, even when nobody calls anything.
# It is read when gRPC is imported; what is done instead is in lepton_ai.client.forking.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

if TYPE_CHECKING:
    from lepton_ai.addresses import Addresses
    from lepton_ai.client import AsyncClient, Client
    from lepton_ai.deployment import deploy, load, pull
    from lepton_ai.errors import LeptonError
    from lepton_ai.file import File
    from lepton_ai.models.wrap import wrap
    from lepton_ai.optimize.distil import distil
    from lepton_ai.optimize.entry import optimise
    from lepton_ai.package import Package
    from lepton_ai.postprocessing.answers import Box, Label, Mask, Number, Series
    from lepton_ai.prediction import Answer, Prediction

__all__ = [
    "Addresses",
    "Answer",
    "AsyncClient",
    "Box",
    "Client",
    "File",
    "Label",
    "LeptonError",
    "Mask",
    "Number",
    "Package",
    "Prediction",
    "Series",
    "deploy",
    "distil",
    "load",
    "optimise",
    "pull",
    "wrap",
]

_HOMES = {
    "Addresses": "lepton_ai.addresses",
    "Answer": "lepton_ai.prediction",
    "AsyncClient": "lepton_ai.client",
    "Box": "lepton_ai.postprocessing.answers",
    "Client": "lepton_ai.client",
    "File": "lepton_ai.file",
    "Label": "lepton_ai.postprocessing.answers",
    "LeptonError": "lepton_ai.errors",
    "Mask": "lepton_ai.postprocessing.answers",
    "Number": "lepton_ai.postprocessing.answers",
    "Package": "lepton_ai.package",
    "Prediction": "lepton_ai.prediction",
    "Series": "lepton_ai.postprocessing.answers",
    "deploy": "lepton_ai.deployment",
    "distil": "lepton_ai.optimize.distil",
    "load": "lepton_ai.deployment",
    "optimise": "lepton_ai.optimize.entry",
    "pull": "lepton_ai.deployment",
    "wrap": "lepton_ai.models.wrap",
}

__getattr__ = lazily(__name__, _HOMES)
