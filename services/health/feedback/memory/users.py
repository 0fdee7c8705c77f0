"""For whom predictions were made, file by file, and who is to be forgotten, so that nobody reads all files for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

_USER = np.dtype(">u8")
"""Hashes of users, compared as bytes are."""
_COUNT = np.dtype("<u4")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (span INTEGER PRIMARY KEY, users BLOB NOT NULL, counts BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS forgotten (user BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
"""
"""`users`: the hashes of those that a file has predictions for, sorted; `counts`: how many, in the same order."""


class UserDirectory:
    """Use it from one thread. What is written is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)
        self._listed = {int(span) for (span,) in self._connection.execute("SELECT span FROM files")}
        self._forgotten = {
            bytes(user): float(at) for user, at in self._connection.execute("SELECT user, at FROM forgotten")
        }

    @property
    def listed(self) -> frozenset[int]:
        """The files whose users are written down here."""
        return frozenset(self._listed)

    @property
    def forgotten(self) -> Mapping[bytes, float]:
        """User → since when nothing that was predicted for him before may be known."""
        return self._forgotten

    def write(self, span: int, users: Sequence[tuple[bytes, int]]) -> None:
        """Write down for whom a file has how many predictions; sorted by user."""
        names = b"".join(user for user, _ in users)
        counts = np.fromiter((count for _, count in users), _COUNT, len(users)).tobytes()
        self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (span, names, counts))
        self._listed.add(span)

    def drop(self, span: int) -> None:
        """The file is gone, or is about to change."""
        if span in self._listed:
            self._connection.execute("DELETE FROM files WHERE span = ?", (span,))
            self._listed.remove(span)

    def find(self, user: bytes) -> Iterator[tuple[int, int]]:
        """(file, how many predictions) of a user."""
        wanted = np.frombuffer(user, _USER)[0]
        for span, names, counts in self._connection.execute("SELECT span, users, counts FROM files ORDER BY span"):
            users = np.frombuffer(names, _USER)
            place = int(np.searchsorted(users, wanted))
            if place < len(users) and users[place] == wanted:
                yield span, int(np.frombuffer(counts, _COUNT)[place])

    def forget(self, user: bytes, at: float) -> None:
        """Remember that what was predicted for a user until then is to be forgotten."""
        self._connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", (user, at))
        self._forgotten[user] = at

    def release(self, users: Iterable[bytes]) -> None:
        """These need not be kept in mind any more."""
        for user in list(users):
            self._connection.execute("DELETE FROM forgotten WHERE user = ?", (user,))
            del self._forgotten[user]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
