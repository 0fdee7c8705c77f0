"""What a process that reads files of strangers may still do: little, with bounds, and nothing to anybody else.

Bounds of time, memory and files come from setrlimit(2). Everything that reaches outside is taken away by a seccomp
filter, which needs no rights: sockets, new processes and programs, signals to others, and every way to change a file.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OUT_OF_MEMORY = 3
"""Exit status of a process that needs more memory than it may use."""
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32_NUMBERS = 0x40000000
_CLONE_THREAD = 0x00010000
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class _Machine:
    """Numbers of system calls, from the kernel's tables."""

    architecture: int
    seccomp: int
    denied: tuple[int, ...]
    clone: int
    absent: tuple[int, ...]
    """Calls whose arguments a filter cannot see: the C library takes the older ones where these do not exist."""
    opens: Mapping[int, int]
    """Call that opens a file → which argument has the flags."""
    tgkill: int
    prlimit64: int


_X86_64 = _Machine(
    architecture=0xC000003E,
    seccomp=317,
    denied=(
        *range(41, 56),  # socket … getsockopt, also socketpair, sendto, recvmsg
        *(57, 58, 59, 62),  # fork, vfork, execve, kill
        *(29, 30, 31, 64, 65, 66, 68, 69, 70, 71),  # System V shared memory, semaphores and messages
        *(76, *range(82, 87), 87, 88, 90, 91, 92, 93, 94),  # truncate, rename … symlink, chmod … lchown
        *(101, 129, 132, 133, 161, 165, 166, 155),  # ptrace, queued signals, utime, mknod, chroot, mount …
        *(188, 189, 190, 197, 198, 199, 200),  # extended attributes, tkill
        *(235, 240, 248, 249, 250, 258, 259, 260, 261, 263, 264, 265, 266, 268, 272),  # …at, keys, unshare
        *(280, 288, 297, 298, 303, 304, 307, 308, 310, 311, 312, 316, 321, 322, 323),  # setns, bpf, execveat …
        *(424, 425, 426, 427, 428, 429, 430, 431, 432, 434, 438, 452),  # pidfd, io_uring, new mounts
    ),
    clone=56,
    absent=(435, 437),  # clone3, openat2
    opens={2: 1, 257: 2},
    tgkill=234,
    prlimit64=302,
)
_AARCH64 = _Machine(
    architecture=0xC00000B7,
    seccomp=277,
    denied=(
        *range(5, 8),  # setxattr …
        *range(14, 17),  # removexattr …
        *(33, 34, 35, 36, 37, 38, 39, 40, 41, 45, 51, 52, 53, 54, 55),  # mknodat … umount, truncate, chroot, chown
        *(88, 97, 117, 129, 130, 138, 142),  # utimensat, unshare, ptrace, kill, tkill, queued signals, reboot
        *range(186, 198),  # System V messages, semaphores and shared memory
        *range(198, 213),  # socket … recvmsg
        *(217, 218, 219, 221, 240, 241, 242, 243, 265, 268, 269, 270, 271, 272, 276),  # keys, execve, setns, rename …
        *(280, 281, 282),  # bpf, execveat, userfaultfd
        *(424, 425, 426, 427, 428, 429, 430, 431, 432, 434, 438, 452),
    ),
    clone=220,
    absent=(435, 437),
    opens={56: 2},
    tgkill=131,
    prlimit64=261,
)
_MACHINES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def limit(*, timeout_s: int, memory_bytes: int) -> None:
    """Limit what this process may use from now on. Going over a limit ends it."""
    for kind, value in (
        (resource.RLIMIT_CPU, timeout_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (value, value))
    signal.alarm(timeout_s)  # also when whoever started us is gone


def isolate() -> str:
    """Take away what reaches outside of this process, for good and for all its threads.

    Returns why that is not possible here; empty when it is done.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or sys.platform != "linux":
        return f"no filter of system calls is known for {sys.platform} on {platform.machine()}"
    program = b"".join(_filter(machine, os.getpid()))
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return f"the system refuses it: {os.strerror(ctypes.get_errno())}"
    if libc.syscall(machine.seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, described):
        return f"the system refuses a filter of system calls: {os.strerror(ctypes.get_errno())}"
    return ""


def _filter(machine: _Machine, pid: int) -> Iterable[bytes]:
    """The program: https://docs.kernel.org/userspace-api/seccomp_filter.html."""
    yield _instruction(_LOAD, _ARCHITECTURE)
    yield _instruction(_IF_EQUAL, machine.architecture, when=1)
    yield _instruction(_RETURN, _KILL)
    yield _instruction(_LOAD, _NUMBER)
    if machine is _X86_64:  # a second table of the same calls
        yield from _refuse(_IF_AT_LEAST, _X32_NUMBERS, errno.ENOSYS)
    for number in machine.denied:
        yield from _refuse(_IF_EQUAL, number, errno.EPERM)
    for number in machine.absent:
        yield from _refuse(_IF_EQUAL, number, errno.ENOSYS)
    for number, argument in machine.opens.items():
        yield from _refuse_argument(number, argument, _IF_ANY_BIT, _CHANGES, errno.EROFS)
    yield from _allow_argument(machine.clone, 0, _IF_ANY_BIT, _CLONE_THREAD)
    yield from _allow_argument(machine.tgkill, 0, _IF_EQUAL, pid)
    yield from _allow_argument(machine.prlimit64, 0, _IF_EQUAL, 0)
    yield _instruction(_RETURN, _ALLOW)


def _refuse(test: int, value: int, error: int) -> Iterable[bytes]:
    yield _instruction(test, value, otherwise=1)
    yield _instruction(_RETURN, _ERRNO | error)


def _refuse_argument(number: int, argument: int, test: int, value: int, error: int) -> Iterable[bytes]:
    """Refuse a call whose argument passes the test."""
    yield _instruction(_IF_EQUAL, number, otherwise=4)
    yield _instruction(_LOAD, _ARGUMENTS + 8 * argument)
    yield _instruction(test, value, otherwise=1)
    yield _instruction(_RETURN, _ERRNO | error)
    yield _instruction(_RETURN, _ALLOW)


def _allow_argument(number: int, argument: int, test: int, value: int) -> Iterable[bytes]:
    """Refuse a call unless its argument passes the test."""
    yield _instruction(_IF_EQUAL, number, otherwise=4)
    yield _instruction(_LOAD, _ARGUMENTS + 8 * argument)
    yield _instruction(test, value, when=1)
    yield _instruction(_RETURN, _ERRNO | errno.EPERM)
    yield _instruction(_RETURN, _ALLOW)


def _instruction(code: int, value: int, *, when: int = 0, otherwise: int = 0) -> bytes:
    """struct sock_filter: how many instructions to skip when a test holds, and when it does not."""
    return struct.pack("HBBI", code, when, otherwise, value)
