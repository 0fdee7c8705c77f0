"""Which units of the activation layers stay at 0 in a step, seen by hooks that are there only for that step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_CAN_DIE = (nn.ReLU, nn.ReLU6)
_ROWS = 8


class SilenceProbe:
    """Looks at the activations that can die: those that give exactly 0, without a gradient, for half of what comes."""

    def __init__(self, network: nn.Module) -> None:
        self._layers = {name: module for name, module in network.named_modules() if isinstance(module, _CAN_DIE)}
        widths = (getattr(module, "out_channels", None) for module in network.modules())
        self._channels = {width for width in widths if width is not None}
        self._handles: list[RemovableHandle] = []
        self._alive: dict[str, Tensor] = {}

    def attach(self) -> None:
        """Watch the next step."""
        self._alive = {}
        self._handles = [module.register_forward_hook(self._hook(name)) for name, module in self._layers.items()]

    def detach(self) -> dict[str, list[bool]]:
        """Stop watching; gives for each layer which units were silent."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        return {name: (~alive).tolist() for name, alive in self._alive.items()}

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim >= 2 and module.training:
                alive = self._per_unit(output.detach()) > 0
                # of another width for a layer without weights that is used in many places
                before = self._alive.get(name)
                self._alive[name] = before | alive if before is not None and before.shape == alive.shape else alive

        return look

    def _per_unit(self, output: Tensor) -> Tensor:
        """The sum over every unit's activations, which are not negative. Units are channels where there are places.

        Where there are, a few rows are enough: each has many.
        """
        is_sequence = output.ndim == 3 and output.shape[1] not in self._channels
        axis = output.ndim - 1 if is_sequence else 1
        others = [index for index in range(output.ndim) if index != axis]
        return torch.sum(output[:_ROWS] if output.ndim > 2 else output, dim=others)
