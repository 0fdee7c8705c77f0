"""Decodes JPEGs at a reduced scale where the next step makes the picture smaller anyway.

A JPEG is stored as blocks of 8 × 8 frequencies. Read into 4, 2 or 1 pixels a side they give a smaller picture for less
work (libjpeg's scaled DCT); it differs by little from one that is decoded whole and then resized.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.optimize.candidate import Value

_DECODE, _SHRINKING = "decode_image", ("resize", "letterbox")


def decodes_pictures(document: Mapping[str, Any] | None) -> bool:
    """Whether a pipeline makes pixels of files."""
    return document is not None and any(step["op"] == _DECODE for step in document["steps"])


def reduce_decoder(document: Mapping[str, Any], parameters: Mapping[str, Value]) -> dict[str, Any]:
    """The pipeline with `reduce_to` at every decode_image before a resize or letterbox, so that no pixel is invented.

    `margin`: how many times the pixels that the next step needs are kept, 1 by default; with 2 the resize itself
    still has something to average. Raises InvalidInput for a pipeline without such steps.
    """
    changed, found = deepcopy(dict(document)), False
    for step, following in zip(changed["steps"], changed["steps"][1:], strict=False):
        is_read = following.get("input", step.get("output")) == step.get("output")
        if step["op"] == _DECODE and following["op"] in _SHRINKING and is_read:
            sides = following["size"] if isinstance(following["size"], list) else [following["size"]]
            step["reduce_to"], found = round(max(sides) * float(parameters.get("margin", 1))), True
    if not found:
        raise InvalidInput(
            "The pipeline does not decode pictures only to make them smaller.", reason="NOTHING_TO_REDUCE"
        )
    return changed
