"""Keeps Python's search for cycles away from what lives as long as the process, and from calls that are under way."""

from __future__ import annotations

import gc

_YOUNG_OBJECTS = 5_000


def spare_long_lived_objects() -> None:
    """Take all that was made so far, such as modules, out of every later search; and search less often.

    A call makes some fifty objects that live until its answer is sent. With Python's own threshold of 700 every dozen
    calls cause a search, and the hundredth of them goes through all modules: a third of a small row's time. Memory is
    freed by reference counts as ever, only cycles wait longer, of at most so many objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
