"""Which units of the activation layers stay at 0 in a step, seen by hooks that are there only for that step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_CAN_DIE = (nn.ReLU, nn.ReLU6, nn.Threshold, nn.Hardtanh)


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
                self._alive[name] = self._alive[name] | alive if name in self._alive else alive

        return look

    def _per_unit(self, output: Tensor) -> Tensor:
        """The greatest activation of every unit. Units are channels where there are places, else the last dimension."""
        is_sequence = output.ndim == 3 and output.shape[1] not in self._channels
        axis = output.ndim - 1 if is_sequence else 1
        others = [index for index in range(output.ndim) if index != axis]
        return torch.amax(output, dim=others)
