"""Networks over the vectors of a text's tokens: convolutions, LSTM, a small transformer encoder.

Each takes float32 [N, steps, features] and its mask and gives one vector a text, float32 [N, width].
"""

from __future__ import annotations

from math import log
from typing import Literal

import torch
from torch import Tensor, nn

from lepton_ai.models.padded import attention_bias, greatest_step, mean_step, without_common_padding
from lepton_ai.models.recurrent_layers import RecurrentLayers
from lepton_ai.models.tokens import TokenVectors

EncoderKind = Literal["cnn", "lstm", "transformer"]

_KERNELS = (2, 3, 4)
_HEAD_WIDTH = 32


class TextNetwork(nn.Module):
    """int64 tokens [N, steps] → float32 [N, answers]."""

    def __init__(self, tokens: TokenVectors, encoder: nn.Module, width: int, answers: int, *, dropout: float) -> None:
        super().__init__()
        self.tokens, self.encoder = tokens, encoder
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, answers))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens, _ = without_common_padding(tokens, tokens != 0)
        vectors, mask = self.tokens(tokens)
        answers: Tensor = self.head(self.encoder(vectors, mask))
        return answers


def text_encoder(
    kind: EncoderKind, features: int, hidden: int, *, layers: int, dropout: float
) -> tuple[nn.Module, int]:
    """The encoder of this kind, and the width of what it gives."""
    if kind == "cnn":
        return ConvolutionEncoder(features, hidden), hidden * len(_KERNELS)
    if kind == "lstm":
        return RecurrentEncoder(features, hidden, layers=layers, dropout=dropout), 4 * hidden
    return AttentionEncoder(features, hidden, layers=layers, dropout=dropout), hidden


class ConvolutionEncoder(nn.Module):
    """Convolutions over 2 to 4 neighbouring tokens, of each the strongest answer in the text (Kim 2014)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(features, hidden, size, padding=size - 1) for size in _KERNELS)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        # Every convolution looks back from its token; the tokens before the text are zeros, as its padding is.
        steps = vectors.shape[1]
        channels = vectors.transpose(1, 2)
        seen = [torch.relu(layer(channels)[:, :, :steps]).transpose(1, 2) for layer in self.convolutions]
        return torch.cat([greatest_step(each, mask) for each in seen], dim=1)


class RecurrentEncoder(nn.Module):
    """A bidirectional LSTM, of whose states the mean and the greatest over the text are taken."""

    def __init__(self, features: int, hidden: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = RecurrentLayers("lstm", features, hidden, layers=layers, bidirectional=True, dropout=dropout)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        states = self.layers(vectors, mask)
        return torch.cat([mean_step(states, mask), greatest_step(states, mask)], dim=1)


class AttentionEncoder(nn.Module):
    """A small transformer encoder, normalised before each part (Xiong et al. 2020), and the mean over the text."""

    def __init__(self, features: int, hidden: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(features, hidden)
        self.blocks = nn.ModuleList(AttentionBlock(hidden, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        states = self.widen(vectors)
        states = states + positions(vectors.shape[1], states.shape[2]).to(states)
        bias = attention_bias(mask)
        for block in self.blocks:
            states = block(states, bias)
        return mean_step(self.norm(states), mask)


class AttentionBlock(nn.Module):
    """Self-attention, then a feed-forward layer, each added to what came in."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.heads = max(1, width // _HEAD_WIDTH)
        self.before_attention, self.before_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        states = states + self.dropout(self._attend(self.before_attention(states), bias))
        answer: Tensor = states + self.dropout(self.layers(self.before_layers(states)))
        return answer

    def _attend(self, states: Tensor, bias: Tensor) -> Tensor:
        """Written out rather than nn.MultiheadAttention, which takes paths that ONNX cannot follow."""
        rows, steps, width = states.shape
        parts = self.project(states).view(rows, steps, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        scores = query @ key.transpose(2, 3) * (width // self.heads) ** -0.5 + bias
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(rows, steps, width)
        answer: Tensor = self.join(mixed)
        return answer


def positions(steps: int, width: int) -> Tensor:
    """Sines and cosines that tell positions of any sequence apart: [steps, width] (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-log(10_000.0) / width))
    angles = torch.arange(steps).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
