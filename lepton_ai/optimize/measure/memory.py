"""How much memory a process takes, from the kernel's own count."""

from __future__ import annotations

from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def begin_peak() -> int:
    """Forget the peak that was, so far as the kernel lets; the bytes that are taken now."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:  # a sandbox that forbids it: the peak is then that since the start of the process
        return peak_bytes()
    return _read("VmRSS")


def peak_bytes() -> int:
    """The most that was taken since `begin_peak`, in bytes. 0 where there is no such count, outside Linux."""
    return _read("VmHWM")


def _read(field: str) -> int:
    if not _STATUS.exists():
        return 0
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0
