"""How bytes are multiplied on a processor, and so which 8-bit types keep their sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.measure.cpu import Cpu


@dataclass(frozen=True)
class Scheme:
    """Types of activations and weights. `reduced`: weights use 7 of their 8 bits, so that no sum of two saturates."""

    name: str
    activations: Literal["u8", "s8"]
    reduced: bool


U8S8 = Scheme("u8s8", "u8", reduced=False)
S8S8 = Scheme("s8s8", "s8", reduced=False)
U8S7 = Scheme("u8s7", "u8", reduced=True)
SCHEMES = {scheme.name: scheme for scheme in (U8S8, S8S8, U8S7)}


def schemes_for(cpu: Cpu) -> Sequence[Scheme]:
    """Schemes whose sums are right on this processor, the fastest first.

    x86 without VNNI adds u8·s8 products in 16 bits (`vpmaddubsw`), which saturate: there weights are reduced. Kernels
    for signed activations take the same way on such processors.
    """
    if cpu.has("asimd"):
        return (S8S8, U8S8)
    return (U8S8,) if cpu.multiplies_bytes_exactly else (U8S7,)


def find_scheme(name: str) -> Scheme:
    """The scheme of this name. Raises InvalidInput."""
    if name not in SCHEMES:
        raise InvalidInput.of_field("scheme", f"there is no {name!r}", fix=f"There are {', '.join(SCHEMES)}.")
    return SCHEMES[name]
