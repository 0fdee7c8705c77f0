"""Recurrent layers over padded sequences, in one direction or both, that ONNX can express."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, cat, nn

from lepton_ai.models.padded import last_step, reversed_steps

Cell = Literal["rnn", "gru", "lstm"]

_CELLS: dict[Cell, type[nn.RNN | nn.GRU | nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentLayers(nn.Module):
    """float32 [N, steps, features] and its mask → float32 [N, steps, width].

    PyTorch's own second direction begins with the padding. Here the real steps are turned round for it, so that as
    much padding as one likes changes nothing, without packed sequences.
    """

    def __init__(
        self,
        cell: Cell,
        features: int,
        hidden: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0,
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.width = hidden * (2 if bidirectional else 1)
        sizes = [features] + [self.width] * (layers - 1)
        self.forwards = nn.ModuleList(_CELLS[cell](size, hidden, batch_first=True) for size in sizes)
        backwards = sizes if bidirectional else []
        self.backwards = nn.ModuleList(_CELLS[cell](size, hidden, batch_first=True) for size in backwards)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        for index, layer in enumerate(self.forwards):
            values = values if index == 0 else self.dropout(values)
            ahead = layer(values)[0]
            if self.backwards:
                back = self.backwards[index](reversed_steps(values, mask))[0]
                ahead = cat([ahead, reversed_steps(back, mask)], dim=2)
            values = ahead
        return values


def final_states(outputs: Tensor, mask: Tensor, hidden: int) -> Tensor:
    """Of what `RecurrentLayers` gave, where each direction ended: forward at the last real step, backward at the first.

    float32 [N, steps, width] → [N, width].
    """
    ahead = last_step(outputs[:, :, :hidden], mask)
    return ahead if outputs.shape[2] == hidden else cat([ahead, outputs[:, 0, hidden:]], dim=1)
