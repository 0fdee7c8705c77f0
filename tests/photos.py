"""Real photos with their ImageNet labels, as the foolbox package ships them; the package itself is not imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def imagenet_photos() -> list[Path]:
    """20 JPEGs named imagenet_NN_LABEL.jpg."""
    spec = importlib.util.find_spec("foolbox")
    assert spec is not None and spec.origin is not None, "foolbox is missing; it is part of the dev extra"
    photos = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))
    assert len(photos) == 20
    return photos
