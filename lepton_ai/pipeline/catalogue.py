"""All operations by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches

from lepton_ai.pipeline.category_index import CategoryIndex
from lepton_ai.pipeline.image import CenterCrop, Crop, DecodeImage, Letterbox, Pad, Resize
from lepton_ai.pipeline.noise import DrawNoise
from lepton_ai.pipeline.operation import Operation
from lepton_ai.pipeline.sequence import Sequence
from lepton_ai.pipeline.sound import DecodeSound, FitLength, LogMel, Resample, SoundTensor, TrimSilence
from lepton_ai.pipeline.tabular import Clip, Concat, Impute, OneHot, Scale
from lepton_ai.pipeline.tensor import Normalize, TensorInput, ToTensor
from lepton_ai.pipeline.text import NormalizeText, TextTensor, Tokenize

OPERATIONS: dict[str, type[Operation]] = {
    operation.name: operation
    for operation in (
        DecodeImage, Resize, CenterCrop, Crop, Pad, Letterbox, ToTensor, Normalize, TensorInput, Sequence,
        DecodeSound, Resample, TrimSilence, FitLength, SoundTensor, LogMel,
        NormalizeText, Tokenize, TextTensor,
        Impute, Clip, Scale, OneHot, Concat,
        CategoryIndex, DrawNoise,
    )
}  # fmt: skip


@dataclass(frozen=True)
class OperationDescription:
    """What ListOperations says about an operation."""

    name: str
    description: str
    parameters_schema_json: str


def describe_operations() -> list[OperationDescription]:
    """Every operation with the JSON schema of its parameters."""
    return [
        OperationDescription(name, operation.describe(), json.dumps(operation.model_json_schema(), sort_keys=True))
        for name, operation in OPERATIONS.items()
    ]


def suggestion(name: str, known: list[str]) -> str:
    """What to do about an unknown name: the nearest one that exists, and all of them."""
    near = get_close_matches(name[:64], known, n=1)
    everything = f"There are {', '.join(known)}."
    return f"Did you mean {near[0]!r}? {everything}" if near else everything
