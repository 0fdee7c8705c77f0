"""Runs other programs with a time limit: to read what they say, or to show it while they work."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lepton_ai.errors import DeadlineExceeded, Unavailable

_TAIL_LINES = 200
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Finished:
    """What a program left behind."""

    returncode: int
    output: str
    errors: str = ""


class Run(Protocol):
    """Runs a program to its end. Tests give a function of their own."""

    def __call__(
        self, command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
    ) -> Finished:
        """Raises Unavailable when the program is not there and DeadlineExceeded when it takes longer."""


def run_program(command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a program and read what it says; `environment` is added to ours. Raises as `Run` does."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise _missing(command[0]) from error
    except subprocess.TimeoutExpired as error:
        raise _late(command, timeout_s) from error
    return Finished(done.returncode, done.stdout, done.stderr)


def stream_program(
    command: Sequence[str],
    *,
    timeout_s: float,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None],
) -> Finished:
    """Run a program and hand on each line when it says it; the whole goes into `log`, the end of it is returned.

    Raises as `Run` does. The program ends when we do, also when `on_line` raises.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise _missing(command[0]) from error
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout_s, end)
    timer.start()
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        _read_lines(process, log, tail, on_line)
        returncode = process.wait(timeout=timeout_s)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    if late.is_set():
        raise _late(command, timeout_s)
    return Finished(returncode, "\n".join(tail))


def _read_lines(process: subprocess.Popen[str], log: Path, tail: deque[str], on_line: Callable[[str], None]) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    with process.stdout as output, log.open("a", encoding="utf-8") as file:
        for line in output:
            file.write(line)
            text = _TERMINAL_CODES.sub("", line).rstrip()
            if text:
                tail.append(text)
                on_line(text)


def _missing(program: str) -> Unavailable:
    return Unavailable(f"There is no {program} command here.", reason="NO_PROGRAM", fix=f"Install {program}.")


def _late(command: Sequence[str], timeout_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"`{' '.join(command[:2])} …` did not end within {timeout_s:.0f} s.",
        reason="PROGRAM_LATE",
        fix="Look whether the Docker engine still answers: `docker info`.",
    )
