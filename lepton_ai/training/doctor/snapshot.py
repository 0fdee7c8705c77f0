"""The last good state of a run, kept in memory to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lepton_ai.training.optimizer_state import Numbers, give_state, take_state

_WEIGHTS, _OPTIMIZER = "weights/", "optimizer/"


class Snapshot:
    """Copies of all weights, running statistics and of what the optimiser remembers."""

    def __init__(self, tensors: Mapping[str, Tensor], numbers: Numbers, *, step: int) -> None:
        self.step = step
        self.tensors = dict(tensors)
        self._numbers = numbers

    @classmethod
    def take(cls, network: nn.Module, optimizer: Optimizer, *, step: int) -> Snapshot:
        """Copy the state of now."""
        memory, numbers = take_state(optimizer)
        tensors = {_WEIGHTS + name: tensor for name, tensor in network.state_dict().items()}
        tensors |= {_OPTIMIZER + name: tensor for name, tensor in memory.items()}
        return cls({name: tensor.detach().clone() for name, tensor in tensors.items()}, numbers, step=step)

    def restore(self, network: nn.Module, optimizer: Optimizer) -> None:
        """Put everything back. The snapshot stays good."""
        network.load_state_dict(self._below(_WEIGHTS))
        give_state(optimizer, self._below(_OPTIMIZER), self._numbers)

    def restore_buffers(self, network: nn.Module) -> None:
        """Put back the running statistics only."""
        for name, buffer in network.named_buffers():
            if _WEIGHTS + name in self.tensors:
                buffer.copy_(self.tensors[_WEIGHTS + name])

    def document(self) -> dict[str, Any]:
        """What belongs to `tensors`, as JSON data."""
        return {"step": self.step, "numbers": self._numbers}

    def _below(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): each for name, each in self.tensors.items() if name.startswith(prefix)}
