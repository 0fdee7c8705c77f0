"""A process that has imported what inspectors need, and forks one for each package: `python -m … DESCRIPTOR`.

Starting Python and importing takes most of a second, a fork some milliseconds. The runtimes of models are not among
what is imported here: they start threads, which a fork loses. Each message that comes through the socket of
that number holds the arguments of one inspector as JSON and three descriptors: what it talks through (the manifest in,
the verdict out), its log, and its control. The control is told the exit status; closing its other end kills the
inspector. The server ends with the other end of its socket.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from typing import NoReturn

from services.registry.inspection import inspector

_MAX_MESSAGE_BYTES = 64 << 10
_DESCRIPTORS = 3


class _ForkServer:
    """One thread, which only waits and forks: what it has loaded has no threads that a fork would lose."""

    def __init__(self, requests: socket.socket, wakeups: socket.socket) -> None:
        """`wakeups` has something to read when an inspector has ended."""
        self._requests, self._wakeups = requests, wakeups
        self._controls: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)
        self._selector.register(wakeups, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the other end is closed; inspectors that still run are killed then."""
        is_open = True
        while is_open:
            for key, _ in self._selector.select():
                if key.fileobj is self._requests:
                    is_open = self._fork()
                elif key.fileobj is self._wakeups:
                    self._wakeups.recv(_MAX_MESSAGE_BYTES)
                elif key.data in self._controls:
                    os.kill(key.data, signal.SIGKILL)  # still ours: whoever has ended was told and forgotten below
                    self._selector.unregister(key.fileobj)
            self._tell_ended()
        for pid in self._controls:
            os.kill(pid, signal.SIGKILL)

    def _fork(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._requests, _MAX_MESSAGE_BYTES, _DESCRIPTORS)
        if not message:
            return False
        talk, log, control = descriptors
        pid = os.fork()
        if not pid:
            self._become_inspector(json.loads(message), talk, log, control)
        os.close(talk)
        os.close(log)
        self._controls[pid] = socket.socket(fileno=control)
        self._selector.register(self._controls[pid], selectors.EVENT_READ, pid)
        return True

    def _tell_ended(self) -> None:
        for pid, control in list(self._controls.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._controls[pid]
                if control in self._selector.get_map():
                    self._selector.unregister(control)
                    with contextlib.suppress(BrokenPipeError):  # nobody waits any more
                        control.send(str(os.waitstatus_to_exitcode(status)).encode())
                control.close()

    def _become_inspector(self, arguments: list[str], talk: int, log: int, control: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for each in (self._requests, self._wakeups, *self._controls.values()):
                each.close()
            for source, target in ((talk, 0), (talk, 1), (log, 2)):
                os.dup2(source, target)
            for source in (talk, log, control):
                os.close(source)
            os.setsid()
            inspector.main(arguments)
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except Exception:  # noqa: BLE001 - as the interpreter would say it, whose place this is
            traceback.print_exc()
        finally:
            os._exit(code)  # without what the libraries tidy up at an end


def main(descriptor: int) -> None:
    """Serve the socket of this number."""
    gc.freeze()  # what is shared stays shared
    wakeups, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _ForkServer(socket.socket(fileno=descriptor), wakeups).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
