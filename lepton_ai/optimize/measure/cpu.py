"""The processor that something was measured on, by what decides how arithmetic is done on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lepton_ai.errors import FailedPrecondition

OTHER_CPU = "OTHER_CPU"
"""The reason of errors that say that a variant was measured on a processor with other abilities."""

ABILITIES = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Flags of processors for which runtimes have kernels of their own: with others both speed and rounding change."""
_INFORMATION = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Cpu:
    """A processor as the operating system names it."""

    model: str
    flags: tuple[str, ...]
    """Those of `ABILITIES` that it has, in their order."""
    cores: int

    def has(self, *flags: str) -> bool:
        """Whether it has at least one of these abilities."""
        return any(flag in self.flags for flag in flags)

    @property
    def multiplies_bytes_exactly(self) -> bool:
        """Whether sums of byte products are kept in 32 bits. AVX2 and AVX-512 without VNNI add pairs of unsigned times
        signed bytes in 16 bits, which saturate. NEON widens."""
        return self.has("avx_vnni", "avx512_vnni", "amx_int8", "asimd")


@cache
def this_cpu() -> Cpu:
    """The processor of this machine."""
    try:
        text = _INFORMATION.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:  # not Linux
        text = ""
    return parse_cpu(text, cores=os.cpu_count() or 1)


def parse_cpu(information: str, *, cores: int) -> Cpu:
    """The processor that `/proc/cpuinfo` describes; without a description the platform's name and no abilities."""
    fields: dict[str, str] = {}
    for line in information.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    has = set((fields.get("flags") or fields.get("Features") or "").split())
    model = fields.get("model name") or platform.processor() or platform.machine()
    return Cpu(model, tuple(flag for flag in ABILITIES if flag in has), cores)


def check_cpu(flags: Sequence[str], here: Cpu) -> None:
    """Check that what was measured on a processor with these abilities holds on this one.

    Raises FailedPrecondition (OTHER_CPU): int8 saturates on some processors, what is fast on one is slow on another.
    """
    if tuple(flags) == here.flags:
        return
    lacks = [flag for flag in flags if flag not in here.flags]
    more = [flag for flag in here.flags if flag not in flags]
    told = [f"lacks {', '.join(lacks)}"] if lacks else []
    told += [f"has {', '.join(more)} besides"] if more else []
    raise FailedPrecondition(
        f"This variant was measured on another processor: the one of this machine {' and '.join(told)}.",
        reason=OTHER_CPU,
        fix="Measure it again here: lepton optimise ORIGINAL --again VARIANT --data DIR.",
    )
