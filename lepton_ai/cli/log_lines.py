"""Prints the log files of the stack's processes, each line after the name of its process, and follows them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import click

from lepton_ai.cli.output import json_text
from lepton_ai.errors import NotFound
from lepton_ai.local.processes.observation import read_tail
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.table import part_of

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
_POLL_S = 0.2
_CHUNK_BYTES = 1 << 20


def choose_logs(directory: RunDirectory, names: Iterable[str]) -> dict[str, Path]:
    """Process → log file, for the processes or parts that are named, or all. Raises NotFound for an unknown name."""
    known = {path.stem: path for path in sorted(directory.logs.glob("*.log"))}
    if not known:
        raise NotFound("There are no logs here: no stack was started.", fix="Start one with `lepton up`.")
    wanted = tuple(names)
    for name in wanted:
        if not any(name in (process, part_of(process)) for process in known):
            raise NotFound(f"There is no log of {name!r}.", fix=f"Choose from: {', '.join(known)}.")
    return {
        process: path
        for process, path in known.items()
        if not wanted or process in wanted or part_of(process) in wanted
    }


class LogPrinter:
    """Prints lines of several logs."""

    def __init__(self, logs: Mapping[str, Path], *, as_json: bool = False) -> None:
        self._logs = logs
        self._as_json = as_json
        self._width = max(map(len, logs))
        self._colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(logs)}

    def print_last(self, lines: int) -> None:
        """The last lines of each log, log after log: most have no time that they could be sorted by."""
        for name, path in self._logs.items():
            for line in read_tail(path, lines):
                self._print(name, line)

    def follow(self) -> NoReturn:
        """Print what is added from now on, for ever."""
        tails = {name: LogTail(path) for name, path in self._logs.items()}
        while True:
            for name, tail in tails.items():
                for line in tail.read_new():
                    self._print(name, line)
            time.sleep(_POLL_S)

    def _print(self, name: str, line: str) -> None:
        if self._as_json:
            click.echo(json_text({"process": name, "line": line}))
            return
        # click leaves the colour out where there is no terminal.
        click.echo(f"{click.style(name.ljust(self._width), fg=self._colours[name])} │ {line}")


class LogTail:
    """Whole lines that are added to one file, also when it is turned over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = path.stat().st_ino if path.exists() else 0
        self._offset = path.stat().st_size if path.exists() else 0
        self._partial = b""

    def read_new(self) -> list[str]:
        """The lines that were completed since the last call."""
        try:
            with self._path.open("rb") as log:
                found = log.seek(0, 2)
                inode = self._path.stat().st_ino
                if inode != self._inode or found < self._offset:
                    self._inode, self._offset, self._partial = inode, 0, b""
                log.seek(self._offset)
                added = log.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(added)
        *lines, self._partial = (self._partial + added).split(b"\n")
        return [line.decode("utf-8", errors="replace").rstrip("\r") for line in lines]
