"""The parent of a service's workers: holds their ports, starts them, and starts again those that end.

Run as a script, by `share_port`, with nothing but Python's own modules: it lives as long as the service and should not
take the memory of one more. SIGTERM and SIGINT go on to the workers, which drain; it ends when they have, with the
worst of their statuses. Workers die with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

_SIGNALS = (signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
_FROM_KERNEL = 128
"""siginfo's SI_KERNEL: Ctrl-C in a terminal, which has reached the workers as well."""
_SOUND_S = 3.0
"""A worker that has run for this long is started again at once when it ends; others wait longer each time."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_LEAST_PAUSE_S = 0.001
_START_S = 30.0
"""A worker that ends within this time of its first start, by itself and with an error, cannot start at all."""


class Worker:
    """One of the processes, or the place of one that is about to be started."""

    def __init__(self, number: int, environment: dict[str, str]) -> None:
        self.number = number
        self.environment = environment
        self.pid = 0
        self.begun_s = 0.0
        self.due_s = 0.0
        self.starts = 0
        self.failures = 0


class Parent:
    """Runs workers until it is told to stop."""

    def __init__(self, command: list[str], environments: list[dict[str, str]], log_format: str) -> None:
        self._command = command
        self._workers = [Worker(index + 1, environment) for index, environment in enumerate(environments)]
        self._log_format = log_format
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Returns the status to end with."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while not self._stopping or any(worker.pid for worker in self._workers):
            if not self._stopping:
                self._start_due()
            # By a timer: `sigtimedwait` of Python makes up a signal when the process was stopped (SIGSTOP, a machine
            # that slept) until its time had passed.
            signal.setitimer(signal.ITIMER_REAL, self._pause_s())
            arrived = signal.sigwaitinfo(_SIGNALS)
            if arrived.si_signo == signal.SIGCHLD:
                self._reap()
            elif arrived.si_signo != signal.SIGALRM:
                self._stop(pass_on=arrived.si_code != _FROM_KERNEL)
        return self._status

    def _pause_s(self) -> float:
        """Until the next start; 0 when there is none, which sets no timer."""
        now_s = time.monotonic()
        waiting = [worker.due_s - now_s for worker in self._workers if not worker.pid and not self._stopping]
        return max(_LEAST_PAUSE_S, min(waiting)) if waiting else 0.0

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for worker in self._workers:
            if not worker.pid and worker.due_s <= now_s:
                worker.pid = os.posix_spawn(
                    self._command[0], self._command, {**os.environ, **worker.environment}, setsigmask=()
                )
                worker.begun_s = now_s
                worker.starts += 1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for worker in self._workers:
                if worker.pid == pid:
                    worker.pid = 0
                    self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: Worker, code: int) -> None:
        if self._stopping:
            if code != -signal.SIGTERM:  # as told, before it could drain
                self._status = max(self._status, code if code >= 0 else 128 - code)
            return
        now_s = time.monotonic()
        lived_s = now_s - worker.begun_s
        if code > 0 and worker.starts == 1 and lived_s < _START_S:
            self._log("ERROR", "a worker cannot start, so the service ends", worker.number, code)
            self._status = code
            self._stop(pass_on=True)
            return
        worker.failures = 0 if lived_s >= _SOUND_S else worker.failures + 1
        if worker.failures:
            worker.due_s = now_s + min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (worker.failures - 1))
        self._log("INFO" if code == 0 else "WARNING", "a worker ended and is started again", worker.number, code)

    def _stop(self, *, pass_on: bool) -> None:
        self._stopping = True
        for worker in self._workers:
            if worker.pid and pass_on:
                os.kill(worker.pid, signal.SIGTERM)

    def _log(self, level: str, message: str, number: int, status: int) -> None:
        moment = time.time()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment))}.{int(moment * 1000) % 1000:03d}Z"
        document = {"time": stamp, "level": level, "service": "workers", "logger": "workers", "message": message}
        fields = {"worker": number, "status": status}
        line = (
            json.dumps({**document, **fields})
            if self._log_format == "json"
            else f"{stamp} {level} workers {message} worker={number} status={status} (workers)"
        )
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def main() -> None:
    """Take the orders from the command line, and run."""
    orders = json.loads(sys.argv[1])
    for held in orders["held"]:
        os.set_inheritable(held, False)  # ours alone: a worker must not keep a port beyond our end
    sys.exit(Parent(orders["command"], orders["environments"], orders["log_format"]).run())


if __name__ == "__main__":
    main()
