"""What was changed of a network's structure, so that a saved model can be built again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from lepton_ai.errors import InvalidInput
from lepton_ai.models.structure.layers import (
    replace_layer,
    split_branches,
    split_cp,
    split_dense,
    split_depthwise,
    split_tucker,
)

Change = Mapping[str, Any]
""" "kind": "resized", when layers are narrower than the class builds them; or a kind of split with "layer", "ranks"."""

RESIZED: Change = {"kind": "resized"}
SPLITS: Mapping[str, Callable[..., nn.Sequential]] = {
    "dense": split_dense,
    "tucker": split_tucker,
    "cp": split_cp,
    "depthwise": split_depthwise,
    "branches": split_branches,
}
_SIZES = {
    nn.Linear: ("out_features", "in_features"),
    nn.Conv1d: ("out_channels", "in_channels"),
    nn.Conv2d: ("out_channels", "in_channels"),
}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def split_layer(network: nn.Module, name: str, kind: str, ranks: Sequence[int] = ()) -> Change:
    """Put a layer in parts; what `change_structure` needs to do it again."""
    replace_layer(network, name, SPLITS[kind](network.get_submodule(name), *ranks))
    return {"kind": kind, "layer": name, "ranks": list(ranks)}


def change_structure(network: nn.Module, changes: Sequence[Change], weights: Mapping[str, Tensor]) -> None:
    """Do changes again, to a network that is to be given these weights. Raises InvalidInput for unknown ones."""
    for change in changes:
        if change["kind"] in SPLITS:
            split_layer(network, str(change["layer"]), str(change["kind"]), [int(rank) for rank in change["ranks"]])
        elif change["kind"] != RESIZED["kind"]:
            raise InvalidInput("The file's network was changed in a way that this version of Lepton does not know.")
    if RESIZED in changes:
        take_sizes(network, weights)


def take_sizes(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Make the layers of a network as wide as its weights are."""
    for name, module in network.named_modules():
        weight = weights.get(f"{name}.weight")
        if weight is None or weight.shape == getattr(module, "weight", weight).shape:
            continue
        for attribute, size in zip(_SIZES.get(type(module), ()), weight.shape[:2], strict=False):
            setattr(module, attribute, size * _groups(module) if attribute == "in_channels" else size)
        if isinstance(module, _NORMS):
            module.num_features = len(weight)
        _take_shapes(module, name, weights)


def _groups(module: nn.Module) -> int:
    return int(getattr(module, "groups", 1))


def _take_shapes(module: nn.Module, name: str, weights: Mapping[str, Tensor]) -> None:
    for own, parameter in list(module.named_parameters(recurse=False)):
        setattr(module, own, nn.Parameter(parameter.new_empty(weights[f"{name}.{own}"].shape)))
    for own, buffer in list(module.named_buffers(recurse=False)):
        if f"{name}.{own}" in weights:
            setattr(module, own, buffer.new_empty(weights[f"{name}.{own}"].shape))
