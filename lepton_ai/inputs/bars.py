"""Two distributions side by side in a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"


def bars(before: Sequence[float], now: Sequence[float]) -> tuple[str, str]:
    """Shares in the same bins as two lines of blocks, of one scale: the greatest is full, none is blank."""
    greatest = max((*before, *now, 1e-9))
    return _line(before, greatest), _line(now, greatest)


def _line(shares: Sequence[float], greatest: float) -> str:
    return "".join(_BLOCKS[math.ceil(share / greatest * (len(_BLOCKS) - 1))] for share in shares)
