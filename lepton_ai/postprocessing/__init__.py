"""What a model's outputs mean: declarative steps to answers of every kind, the same in training and serving."""

from lepton_ai.postprocessing.answers import (
    Answered,
    Box,
    Boxes,
    Embedding,
    Label,
    Labels,
    Mask,
    Number,
    Numbers,
    RowAnswer,
    Series,
    Text,
)
from lepton_ai.postprocessing.postprocess import Postprocess, without_meaning
from lepton_ai.postprocessing.step import NOT_A_NUMBER, Options

__all__ = [
    "NOT_A_NUMBER",
    "Answered",
    "Box",
    "Boxes",
    "Embedding",
    "Label",
    "Labels",
    "Mask",
    "Number",
    "Numbers",
    "Options",
    "Postprocess",
    "RowAnswer",
    "Series",
    "Text",
    "without_meaning",
]
