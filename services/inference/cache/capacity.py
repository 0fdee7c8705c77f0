"""How much memory each cache gets: where the next megabytes save the most time, within what the machine can spare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

K = TypeVar("K")

SMALLEST_BYTES = 1 << 20
"""What a cache in use has at least."""
_LEAST_GAIN = 0.005
"""More memory must bring so many more of the lookups to pay."""
_SPARED_BYTES = 256 << 20
"""Memory of the machine that caches leave to others."""
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Demand:
    """What a cache would save by its size."""

    sizes: Sequence[int]
    """Ascending, in bytes."""
    hit_ratios: Sequence[float]
    """Share of the lookups found with each size."""
    saved_per_s: float
    """Seconds of work that would be saved each second if every lookup were found."""


def share(demands: Mapping[K, Demand], budget_bytes: int) -> dict[K, int]:
    """The size for each cache, one of its own sizes.

    Steps are taken in the order of what they save for each byte. A step may pass over sizes that bring nothing, as a
    loop over many inputs is found whole or not at all. The smallest size is given in any case.
    """
    chosen = dict.fromkeys(demands, 0)
    free = budget_bytes - sum(demand.sizes[0] for demand in demands.values())
    while True:
        best: tuple[float, K, int] | None = None
        for key, demand in demands.items():
            for size in range(chosen[key] + 1, len(demand.sizes)):
                worth = _worth(demand, chosen[key], size)
                more = demand.sizes[size] - demand.sizes[chosen[key]]
                if worth > 0 and more <= free and (best is None or worth > best[0]):
                    best = (worth, key, size)
        if best is None:
            return {key: demands[key].sizes[index] for key, index in chosen.items()}
        _, key, size = best
        free -= demands[key].sizes[size] - demands[key].sizes[chosen[key]]
        chosen[key] = size


def _worth(demand: Demand, now: int, then: int) -> float:
    """Seconds saved each second for every byte more; 0 when it does not pay."""
    gain = demand.hit_ratios[then] - demand.hit_ratios[now]
    if gain < _LEAST_GAIN:
        return 0.0
    return gain * demand.saved_per_s / (demand.sizes[then] - demand.sizes[now])


def budget_bytes(max_bytes: int, used_bytes: int) -> int:
    """What all caches of this process may take: `max_bytes`, or less where the machine or its container is short."""
    spare = available_bytes()
    return max_bytes if spare is None else max(0, min(max_bytes, used_bytes + spare - _SPARED_BYTES))


def available_bytes(*, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Memory that could still be used here; None where that cannot be told."""
    known = [size for size in (_of_machine(meminfo), _of_container(cgroup)) if size is not None]
    return min(known, default=None)


def _of_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found) * 1024


def _of_container(cgroup: Path) -> int | None:
    """By control groups of version 2. The cache of files counts as free, for the kernel gives it up."""
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
