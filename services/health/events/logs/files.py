"""Follows log files of programs that tell health nothing themselves, such as Triton, etcd and the Envoy of a port."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from lepton_ai.mesh.loops import run_loop
from lepton_ai.v1 import events_pb2 as pb
from services.health.events.logs.lines import LineReader
from services.health.events.logs.log_book import LogBook, seconds_of

_LOOK_EVERY_S = 1.0
_MAX_READ_BYTES, _MAX_LINE_BYTES = 1 << 20, 64 << 10
_AT_ONCE = 500
_OLDEST_S = 86_400.0
"""What is older when a file is opened is not told: the book forgets who told what after a week of silence."""
_NUMBER = re.compile(r"-\d+$")
_log = logging.getLogger(__name__)


class LogFile:
    """One file from its beginning on, over rotations. Use it from one thread at a time."""

    def __init__(self, name: str, path: Path, now_s: Callable[[], float] = time.time) -> None:
        """`name` is the process's; the file before the last rotation is `path` with `.1` behind it."""
        self._name = name
        self._path = path
        self._now_s = now_s
        self._file: IO[bytes] | None = None
        self._has_followed = False
        self._begin()

    def read(self) -> Iterator[pb.ReportLogsRequest]:
        """What was written since the last time, at most a megabyte of it. Raises OSError; no file is no error.

        A report numbers the records of a file and names the file by its first line: read again, it is the same report.
        """
        if self._file is None:
            self._open_next()
            if self._file is None:
                return
        content = self._file.read(_MAX_READ_BYTES)
        found = [record for record in map(self._reader.read, self._lines(content)) if record is not None]
        if not content:
            found += filter(None, [self._reader.flush()])
            self._leave_if_ended()
        yield from self._reports(found)

    def close(self) -> None:
        """Close the file; the next `read` begins anew."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._reader = LineReader(self._now_s)
        self._rest = b""
        self._first_line: bytes | None = None
        self._identity = ""
        self._count = 0
        self._has_told = False
        self._is_set_aside = False
        """Another file has its name by now, so that nothing more is written to it."""

    def _open_next(self) -> None:
        older = self._path.with_name(f"{self._path.name}.1")
        for path in (self._path,) if self._has_followed else (older, self._path):
            with suppress(FileNotFoundError):
                self._file = path.open("rb")
                self._has_followed = True
                return

    def _leave_if_ended(self) -> None:
        """Go on with the new file where this one was set aside, or emptied, and has been read once more since."""
        if self._is_set_aside:
            self.close()
            self._begin()
        elif self._file is not None:
            here = os.fstat(self._file.fileno())
            with suppress(FileNotFoundError):
                is_other = not os.path.samestat(here, self._path.stat())
                self._is_set_aside = is_other or here.st_size < self._file.tell()

    def _lines(self, content: bytes) -> Iterator[str]:
        *lines, self._rest = (self._rest + content).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            if self._first_line is None:
                self._first_line = line
                self._identity = f"file {self._name} {zlib.crc32(line):08x}"
            yield line[:_MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r")

    def _reports(self, found: list[pb.LogRecord]) -> Iterator[pb.ReportLogsRequest]:
        service = _NUMBER.sub("", self._name)
        young_s = self._now_s() - _OLDEST_S
        old = 0
        while not self._has_told and old < len(found) and seconds_of(found[old].at) < young_s:
            old += 1
        self._count += old
        for start in range(old, len(found), _AT_ONCE):
            records = found[start : start + _AT_ONCE]
            self._has_told = True
            yield pb.ReportLogsRequest(
                process=self._identity,
                first=self._count + 1,
                service=service,
                instance=self._name,
                records=records,
            )
            self._count += len(records)


class LogFiles:
    """Tells the book what is new in the files, from `start` to `close`. What it could not take is told again."""

    def __init__(self, files: Mapping[str, Path], book: LogBook) -> None:
        self._files = {name: LogFile(name, path) for name, path in files.items()}
        self._untold: dict[str, list[pb.ReportLogsRequest]] = {}
        self._unreadable: set[str] = set()
        self._book = book
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow them; without files nothing runs."""
        if self._files:
            self._task = run_loop(self._run, name="follow log files")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for file in self._files.values():
            file.close()

    async def look(self) -> None:
        """Tell what is new in each file."""
        for name, file in self._files.items():
            if not self._untold.get(name):
                self._untold[name] = await asyncio.to_thread(self._read, name, file)
            while self._untold[name]:
                await self._book.take(self._untold[name][0])
                del self._untold[name][0]

    def _read(self, name: str, file: LogFile) -> list[pb.ReportLogsRequest]:
        try:
            found = list(file.read())
        except OSError as error:
            if name not in self._unreadable:
                _log.warning("the log file of %s cannot be read: %s", name, error.strerror)
            self._unreadable.add(name)
            return []
        self._unreadable.discard(name)
        return found

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)
