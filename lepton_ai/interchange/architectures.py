"""Weights in safetensors whose architecture has a name in Lepton: `metadata` of the file, or the author, says which."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.safetensors_file import read_safetensors_metadata
from lepton_ai.installed import need
from lepton_ai.interchange.draft import Draft
from lepton_ai.interchange.model_files import named_after, onnx_draft

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURE, CONFIG = "architecture", "config"
"""Keys of the file's metadata: the name, and its arguments as JSON."""


@dataclass(frozen=True)
class _Built:
    network: nn.Module
    weighted: nn.Module
    """The part of it whose weights such files hold."""
    input_shape: tuple[int, ...]
    """Of one picture of bytes."""


def safetensors_draft(path: Path, scratch: Path, *, architecture: str = "") -> Draft:
    """The network as ONNX. Raises InvalidInput for a file without such a name, or whose weights do not fit."""
    need("torch", "A network of Lepton")
    need("safetensors", "A file of weights")
    import torch
    from safetensors.torch import load_file

    from lepton_ai.models.packaging import export_onnx

    metadata = read_safetensors_metadata(path)
    chosen = architecture or metadata.get(ARCHITECTURE, "")
    if chosen not in ARCHITECTURES:
        said = (
            f"There is no architecture {chosen[:64]!r}." if chosen else f"{path.name} does not name its architecture."
        )
        raise InvalidInput(
            said,
            reason="UNKNOWN_ARCHITECTURE",
            fix=f"Name one with --architecture: {', '.join(ARCHITECTURES)}. Export other networks to ONNX.",
        )
    with torch.device("meta"):  # so that what the file asks for takes no memory
        built = _build(chosen, metadata.get(CONFIG, "{}"))
    try:
        built.weighted.load_state_dict(load_file(path), assign=True)
    except RuntimeError as error:
        text = str(error).splitlines()[-1].strip()
        raise InvalidInput(f"{path.name} holds no weights of {chosen}: {text[:200]}", reason="OTHER_WEIGHTS") from error
    target = scratch / "model.onnx"
    target.write_bytes(export_onnx(built.network, [_example(built.input_shape)], ["image"], ["scores"]))
    return onnx_draft(target, name=named_after(path), source=f"{path.name} ({chosen})")


def _build(name: str, config_json: str) -> _Built:
    try:
        config = json.loads(config_json)
        if not isinstance(config, dict):
            raise TypeError
        return ARCHITECTURES[name](name, config)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput.of_field("metadata.config", f"holds no arguments of {name}") from error


def _cnn(name: str, config: Mapping[str, Any]) -> _Built:
    from lepton_ai.models.cnn import CNN

    model = CNN(**config)
    return _Built(model.network, model.network, tuple(model.config["input_shape"]))


def _efficientnet(name: str, config: Mapping[str, Any]) -> _Built:
    from lepton_ai.models.efficientnet import EfficientPictures

    side = int(config.get("side", 224))
    pictures = EfficientPictures(name, side, with_weights=False)
    return _Built(pictures, pictures.network, (side, side, 3))


def _example(shape: tuple[int, ...]) -> Any:
    import torch

    return torch.zeros((2, *shape), dtype=torch.uint8)


ARCHITECTURES: Mapping[str, Callable[[str, Mapping[str, Any]], _Built]] = {
    "CNN": _cnn,
    **{f"efficientnet-lite{size}": _efficientnet for size in range(5)},
}
