"""Texts as tokens: the steps from a text to ids, the vocabulary that they learn, and ids as vectors."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lepton_ai.models.preparation import Step
from lepton_ai.pipeline import Pipeline

Level = Literal["char", "word", "jieba", "subword"]

_VOCABULARY = "vocabulary.txt"
_PADDING_ID, UNKNOWN_ID = 0, 1
"""A vocabulary that was learned begins with the tokens for padding and for everything unknown."""


def text_steps(column: str, *, level: Level, max_length: int, max_tokens: int, min_count: int) -> list[Step]:
    """From a text to INT64 "tokens" [max_length], 0 behind; the vocabulary is learned from the data."""
    return [
        {"op": "normalize_text", "input": column, "form": "NFKC", "lower": True, "collapse_spaces": True},
        {
            "op": "tokenize",
            "vocabulary": _VOCABULARY,
            "level": level,
            "max_length": max_length,
            "output": "tokens",
            "fit": {"max_tokens": max_tokens, "min_count": min_count},
        },
    ]


def vocabulary_size(pipeline: Pipeline) -> int:
    """How many tokens the pipeline of `text_steps` knows, padding and unknown among them."""
    return pipeline.to_proto().files[_VOCABULARY].count(b"\n")


class TokenVectors(nn.Module):
    """int64 [N, steps] → float32 [N, steps, width] and the mask; the vector of padding is and stays zero."""

    def __init__(self, vocabulary: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary, width, padding_idx=_PADDING_ID)
        nn.init.normal_(self.vectors.weight, std=width**-0.5)
        nn.init.zeros_(self.vectors.weight[_PADDING_ID])
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.dropout(self.vectors(tokens)), tokens != _PADDING_ID
