"""A network as a table: layers, what they put out, how many weights they have."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

if TYPE_CHECKING:
    from lepton_ai.models.model import Model


def summarize(model: Model) -> str:
    """The table as text. Shapes are there once the model's pipeline is."""
    network = model.network
    shapes = _output_shapes(model)
    table = Table(title=f"{type(model).__name__}", title_justify="left")
    table.add_column("Layer")
    table.add_column("Kind")
    table.add_column("Output")
    table.add_column("Weights", justify="right")
    for name, layer in _leaves(network):
        count = sum(parameter.numel() for parameter in layer.parameters())
        table.add_row(name, type(layer).__name__, shapes.get(name, ""), f"{count:,}" if count else "")
    total = sum(parameter.numel() for parameter in network.parameters())
    trainable = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    table.caption = f"{total:,} weights, {trainable:,} of them trainable"
    target = io.StringIO()
    Console(file=target, width=100).print(table)
    return target.getvalue()


def _leaves(network: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, layer) for name, layer in network.named_modules() if name and not list(layer.children())]


def _output_shapes(model: Model) -> dict[str, str]:
    if model.pipeline is None:
        return {}
    from lepton_ai.models.packaging import example_batch

    shapes: dict[str, str] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor):
                shapes[name] = "[" + ", ".join(("N", *map(str, first.shape[1:]))) + "]"

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in _leaves(model.network)]
    try:
        with torch.inference_mode():
            model.network(*example_batch(model.pipeline.outputs))
    finally:
        for hook in hooks:
            hook.remove()
    return shapes
