"""Declared outputs of a model, as `Postprocess.check` takes them."""

from __future__ import annotations

from typing import NamedTuple


class Spec(NamedTuple):
    """One output."""

    name: str
    dtype: str
    shape: tuple[int, ...]
