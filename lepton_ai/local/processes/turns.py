"""Longer turns on the CPU for the processes of a stack, so that they interrupt one another less.

All parts of a stack share the cores of one machine. With the kernel's usual turns of about 3 ms, every message that
arrives at one part takes the core from another in the middle of its arithmetic, and both work with cold caches.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_TURN_NS = 50_000_000
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}
"""System call number of sched_setattr(2) by machine; glibc has no function for it."""
_GET_ATTRIBUTES = {"x86_64": 315, "aarch64": 275}
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period."""


def take_long_turns() -> bool:
    """Let this process, and all that it will start, work for 50 ms at a time while others wait for the core.

    A process that wakes up on an idle core runs at once as before. Linux 6.12 and later; False elsewhere, and where the
    kernel refuses.
    """
    number = _SET_ATTRIBUTES.get(platform.machine())
    if number is None or sys.platform != "linux":
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, _TURN_NS, 0, 0)
    return _call(number, 0, ctypes.create_string_buffer(attributes, len(attributes)), 0) == 0


def read_turn_ns(pid: int) -> int | None:
    """How long a process may work at a time, in nanoseconds; None where the kernel does not tell."""
    number = _GET_ATTRIBUTES.get(platform.machine())
    buffer = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if number is None or sys.platform != "linux" or _call(number, pid, buffer, _ATTRIBUTES.size, 0) != 0:
        return None
    runtime_ns: int = _ATTRIBUTES.unpack(buffer.raw)[5]
    return runtime_ns or None


def _call(number: int, pid: int, buffer: ctypes.Array[ctypes.c_char], *more: int) -> int:
    call = ctypes.CDLL(None).syscall
    return int(call(ctypes.c_long(number), ctypes.c_int(pid), buffer, *(ctypes.c_uint(each) for each in more)))
