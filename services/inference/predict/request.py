"""What a caller asks, in plain values: every protocol is read into this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lepton_ai.errors import InvalidInput
from services.inference.item import Items
from services.inference.predict.runtime import ModelRuntime
from services.inference.routing.routes import ModelReference
from services.inference.rows import NamedTensor

_MAX_TOP_K = 1000


@dataclass(frozen=True, slots=True)
class Inputs:
    """Raw items for the model's pipeline, or ready tensors. Items stay as they came: they go on unchanged."""

    field: str
    """What the caller's protocol calls them, for errors."""
    items: Items = ()
    tensors: Sequence[NamedTensor] = ()


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One question to a model."""

    model: ModelReference
    read: Callable[[ModelRuntime], Inputs]
    """Gives the inputs once it is known what the model takes. Raises InvalidInput for what does not fit it."""
    answered: bool = True
    """Whether the caller wants to know what the outputs mean, from a model whose package declares it."""
    top_k: int = 0
    """Labels or boxes a row; 0: as many as the package says."""
    routing_key: str = ""
    may_cache: bool = True
    """Whether a cache may be read and written."""
    exact: bool = False
    """Whether only the original may answer, and no variant of it."""


def check_top_k(top_k: int, *, field: str) -> int:
    """The number of labels asked for. Raises InvalidInput when it is out of bounds."""
    if top_k > _MAX_TOP_K:
        raise InvalidInput.of_field(field, f"is over {_MAX_TOP_K}", reason="TOP_K_TOO_LARGE")
    return top_k
