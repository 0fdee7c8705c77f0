"""Keeps the memory that a process frees at hand for its next message, or gives it back when there will be none soon."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc
_MAX_KEPT_BYTES = 32 << 20
_GROWTH_BYTES = 1 << 20
_MAX_POOLED_BYTES = 8 << 20


def keep_freed_memory() -> bool:
    """Let malloc keep up to 32 MiB that are free at the end of each of its arenas. False where it is not glibc's.

    A tensor of 150 KB is just large enough that glibc maps fresh pages for every allocation, and memory that it does
    not map it soon gives back to the kernel. Either way each message pays for a page fault every 4 KB, which costs
    several times as much as copying it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = (
        (_M_MMAP_THRESHOLD, _MAX_POOLED_BYTES),
        (_M_TRIM_THRESHOLD, _MAX_KEPT_BYTES),
        (_M_TOP_PAD, _GROWTH_BYTES),
    )
    return all(mallopt(option, value) == 1 for option, value in options)


def give_back_freed_memory() -> bool:
    """Let malloc give what is free back to the kernel, after work of a kind that is rare: what it needed, up to 32 MiB
    in each arena, would be kept for the next time. Takes milliseconds. False where there is nothing or it is not
    glibc's."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return malloc_trim is not None and malloc_trim(0) == 1
