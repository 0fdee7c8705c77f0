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
from lepton_ai.models.tokens import UNKNOWN_ID, TokenVectors

EncoderKind = Literal["cnn", "lstm", "transformer"]

_KERNELS = (2, 3, 4)
_HEAD_WIDTH = 32
_NGRAM_PLACES = (1 << 17) - 1
_HASH_FACTOR = 1_000_003
_VOTE_RATE = 5.0
"""How much faster votes learn than the rest: most runs of tokens are rare."""


class TextNetwork(nn.Module):
    """int64 tokens [N, steps] → float32 [N, answers]: what an encoder and the votes of n-grams say together."""

    def __init__(
        self, tokens: TokenVectors, encoder: nn.Module, votes: NgramVotes, head: nn.Module, *, masking: float
    ) -> None:
        super().__init__()
        self.tokens, self.encoder, self.votes, self.head = tokens, encoder, votes, head
        self.masking = masking

    def forward(self, tokens: Tensor) -> Tensor:
        tokens, mask = without_common_padding(tokens, tokens != 0)
        if self.training and self.masking:
            unknown = (torch.rand(tokens.shape, device=tokens.device) < self.masking) & mask
            tokens = tokens.masked_fill(unknown, UNKNOWN_ID)
        answers: Tensor = self.head(self.encoder(self.tokens(tokens)[0], mask)) + self.votes(tokens, mask)
        return answers


class NgramVotes(nn.Module):
    """A linear model of all runs of up to `most` tokens, which share a table by their hash (Weinberger et al. 2009).

    int64 tokens [N, steps] and their mask → float32 [N, answers]. Such a model remembers what is said; networks alone
    need far more text for that. With `most` 0 it says nothing.
    """

    def __init__(self, answers: int, *, most: int) -> None:
        super().__init__()
        tables = [nn.Embedding(_NGRAM_PLACES, answers) for _ in range(most)]
        for table in tables:
            nn.init.zeros_(table.weight)
        self.tables = nn.ModuleList(tables)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        if not self.tables:
            return torch.zeros(1, device=tokens.device)
        votes, steps, run = torch.zeros(1, device=tokens.device), tokens.shape[1], tokens
        for back, table in enumerate(self.tables):
            before = nn.functional.pad(tokens, (back, 0))[:, :steps]
            run = tokens if back == 0 else run * _HASH_FACTOR + before
            whole = (mask & (before != 0)).unsqueeze(2).to(votes.dtype)
            votes = votes + (table(run % _NGRAM_PLACES) * whole).sum(dim=1)
        lengths = mask.sum(dim=1, keepdim=True).clamp(min=1).to(votes.dtype)
        return votes * _VOTE_RATE / lengths.sqrt()


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
