"""Whether this process was forked from one in which gRPC ran, and what must then be left alone.

Measured with grpcio 1.81: a forked child has none of gRPC's threads, shares its epoll sets with the parent, and cannot
tell. Calls of grpc.aio wait for ever, blocking ones end the child with SIGABRT or SIGSEGV now and then, and when the
child frees its copies, the parent's loops may lose theirs. Where gRPC had not started in the parent, or all its
channels were closed, a child may use it like any process.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from pathlib import Path

from lepton_ai.errors import FailedPrecondition

_TASKS = Path("/proc/self/task")
_GRPC_THREADS = frozenset({"event_engine", "grpc_global_tim"})
"""Names of threads that gRPC core has from its start to its end, as the kernel cuts them."""


class _State:
    """The state of this process; a forked child starts with a copy."""

    def __init__(self) -> None:
        self.grpc_runs = False
        """Only valid while a fork is under way."""
        self.grpc_is_lost = False
        self.lock = threading.Lock()
        self.parents: weakref.WeakSet[object] = weakref.WeakSet()
        self.users: weakref.WeakSet[object] = weakref.WeakSet()


_state = _State()


def grpc_is_lost() -> bool:
    """Whether gRPC ran in a process that this one was forked from, directly or not: then it does not work here."""
    return _state.grpc_is_lost


def check_grpc() -> None:
    """Raise FailedPrecondition where gRPC does not work, so that no call waits for ever."""
    if _state.grpc_is_lost:
        raise FailedPrecondition(
            "This process was forked from one in which gRPC was running, so that grpc.aio does not work here.",
            reason="FORKED",
            fix="Use lepton_ai.Client, which works here too; or start the process with the method spawn, or before "
            "anything is called.",
        )


def process_lock() -> threading.Lock:
    """A lock of this process alone: a forked child gets a new one, which no thread of the parent can hold."""
    return _state.lock


def leave_to_parent(owner: object) -> None:
    """Never free `owner` in a forked child: its event loop and channels share their file descriptors with the parent's,
    and taking them down there would take them from the parent."""
    _state.parents.add(owner)


def grpc_used_by(user: object, *, uses: bool) -> None:
    """Note that `user` has opened channels, or closed all: gRPC's threads get their names only a moment later."""
    if uses:
        _state.users.add(user)
    else:
        _state.users.discard(user)


def _before() -> None:
    _state.grpc_runs = bool(_state.users) or _grpc_runs()


def _in_child() -> None:
    _state.lock = threading.Lock()
    _state.grpc_is_lost = _state.grpc_is_lost or _state.grpc_runs
    for owner in list(_state.parents):
        # A reference that nobody gives back survives even the interpreter's own clean-up, unlike one in a list.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))
    _state.parents, _state.users = weakref.WeakSet(), weakref.WeakSet()


def _grpc_runs() -> bool:
    try:
        return any((task / "comm").read_text().strip() in _GRPC_THREADS for task in _TASKS.iterdir())
    except OSError:
        return not _TASKS.exists()  # without /proc, assume that it runs; with it, a thread has just ended


os.register_at_fork(before=_before, after_in_child=_in_child)
