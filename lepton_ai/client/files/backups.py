"""Backups of the registry as a client takes them and brings them back."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_ai.backup.dump import DUMP_FILE, Dump, Header, file_path
from lepton_ai.backup.packed import is_packed, pack, unpack, working_folder
from lepton_ai.client.control.registry_calls import RegistryClient
from lepton_ai.errors import DataLoss, FailedPrecondition, NotFound, Unavailable
from lepton_ai.mesh.errors import VERDICT_LOST
from lepton_ai.mesh.hashed_file import read_ahead
from lepton_ai.package.transfer import OnProgress, write_chunks
from lepton_ai.v1 import registry_pb2

_TIMEOUT_S = 24 * 3600.0
_FILE_TIMEOUT_S = 600.0
_SLOWEST_BYTES_PER_S = 5 << 20
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 3
"""A version may be deleted after it was dumped, and its files with it: then the next dump does not name them."""
_HEARINGS = 5
"""How often a backup is sent until it is heard why it was refused."""


@dataclass(frozen=True)
class BackupSummary:
    """What a backup holds."""

    header: Header
    files: int
    size_bytes: int
    """Of all files."""
    new_bytes: int
    """Of the files that an earlier backup in the same folder did not have."""


class Backups:
    """The part of `AsyncClient` for backups."""

    async def back_up(
        self: RegistryClient, path: Path | str, *, on_progress: OnProgress | None = None
    ) -> BackupSummary:
        """Write all that the registry holds into a folder, while it serves; into one with a backup, only what is new.

        What it holds at one moment: the folder's earlier backup stays whole until the new one is. A `path` that ends in
        .tar becomes one file, for which there must be room twice. Raises DataLoss for a file that the registry has
        lost, FailedPrecondition for a folder of something else.
        """
        target = Path(path)
        if not is_packed(target):
            return await _back_up(self, target, on_progress)
        with working_folder(target) as folder:
            summary = await _back_up(self, folder, on_progress)
            await asyncio.to_thread(pack, folder, target)
        return summary

    async def restore(
        self: RegistryClient, path: Path | str, *, on_progress: OnProgress | None = None
    ) -> registry_pb2.RestoreResponse:
        """Fill an empty registry from a backup, which is read and hashed as a whole first.

        Raises DataLoss for a damaged backup, FailedPrecondition for a registry that is not empty or of another release;
        then nothing was written.
        """
        source = Path(path)
        if not is_packed(source):
            return await _restore(self, source, on_progress)
        with working_folder(source) as folder:
            await asyncio.to_thread(unpack, source, folder)
            return await _restore(self, folder, on_progress)


async def _back_up(client: RegistryClient, root: Path, on_progress: OnProgress | None) -> BackupSummary:
    await asyncio.to_thread(_prepare, root)
    for attempt in range(1, _ATTEMPTS + 1):
        new = Dump(root / f"{DUMP_FILE}.part")
        await _fetch_dump(client, new.path)
        header = await asyncio.to_thread(new.check)
        files = await asyncio.to_thread(new.files)
        try:
            new_bytes = await _fetch_files(client, root, files, on_progress)
        except NotFound:
            if attempt == _ATTEMPTS:
                raise
            continue
        break
    await asyncio.to_thread(_finish, root, new.path, files)
    return BackupSummary(header, len(files), sum(files.values()), new_bytes)


async def _restore(client: RegistryClient, root: Path, on_progress: OnProgress | None) -> registry_pb2.RestoreResponse:
    dump = Dump(root / DUMP_FILE)
    await asyncio.to_thread(dump.check)
    files = await asyncio.to_thread(dump.files)
    await asyncio.to_thread(_check_files, root, files)

    async def send() -> registry_pb2.RestoreResponse:
        return await client._registry(
            lambda stub, left_s: stub.Restore(
                _requests(root, files, on_progress), timeout=left_s, metadata=client._proof
            ),
            _TIMEOUT_S,
            idempotent=False,
        )

    for _ in range(_HEARINGS - 1):
        try:
            return await send()
        except Unavailable as error:  # one that was refused wrote nothing, so it may be asked again why
            if error.reason != VERDICT_LOST:
                raise
    return await send()


async def _fetch_dump(client: RegistryClient, path: Path) -> None:
    async def save(stub: Any, left_s: float) -> None:
        call = stub.BackUp(registry_pb2.BackUpRequest(), timeout=left_s, metadata=client._proof)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for response in call:
                await asyncio.to_thread(file.write, response.dump)
            await asyncio.to_thread(os.fsync, file.fileno())

    await client._registry(save, _TIMEOUT_S)


async def _fetch_files(
    client: RegistryClient, root: Path, files: Mapping[str, int], on_progress: OnProgress | None
) -> int:
    """Fetch what the folder does not have whole; returns how many bytes that were."""
    total, done, new = sum(files.values()), 0, 0
    for sha256, size_bytes in files.items():
        path = file_path(root, sha256)
        if not await asyncio.to_thread(_is_whole, path, sha256):
            file = registry_pb2.PackageFile(path=sha256, size_bytes=size_bytes, sha256=sha256)
            await _fetch_file(client, path, file)
            new += size_bytes
        done += size_bytes
        if on_progress is not None:
            on_progress(done, total)
    return new


async def _fetch_file(client: RegistryClient, path: Path, file: registry_pb2.PackageFile) -> None:
    request = registry_pb2.DownloadFileRequest(sha256=file.sha256)

    async def contents(stub: Any, left_s: float) -> AsyncIterator[bytes]:
        async for response in stub.DownloadFile(request, timeout=left_s):
            yield response.data

    async def save(stub: Any, left_s: float) -> None:
        await write_chunks(path, file, contents(stub, left_s))

    await client._registry(save, _FILE_TIMEOUT_S + file.size_bytes / _SLOWEST_BYTES_PER_S)


async def _requests(
    root: Path, files: Mapping[str, int], on_progress: OnProgress | None
) -> AsyncIterator[registry_pb2.RestoreRequest]:
    total, sent = sum(files.values()), 0
    for sha256, size_bytes in files.items():
        if not size_bytes:
            yield registry_pb2.RestoreRequest(file=registry_pb2.FileChunk(sha256=sha256))
        with file_path(root, sha256).open("rb", buffering=0) as file:
            async with aclosing(read_ahead(file)) as chunks:
                async for data in chunks:
                    yield registry_pb2.RestoreRequest(file=registry_pb2.FileChunk(sha256=sha256, data=bytes(data)))
                    sent += len(data)
                    if on_progress is not None:
                        on_progress(sent, total)
    with (root / DUMP_FILE).open("rb") as dump:
        while line := await asyncio.to_thread(dump.read, _CHUNK_BYTES):
            yield registry_pb2.RestoreRequest(dump=line)


def _prepare(root: Path) -> None:
    if root.is_dir() and any(root.iterdir()) and not (root / DUMP_FILE).exists() and not (root / "files").is_dir():
        raise FailedPrecondition(
            f"{root.name} holds something else than a backup.", reason="NOT_A_BACKUP", fix="Name a new folder."
        )
    root.mkdir(mode=0o700, parents=True, exist_ok=True)


def _finish(root: Path, new: Path, files: Mapping[str, int]) -> None:
    """Put the new dump into the place of the old one, then delete what only that one needed."""
    (root / "files").mkdir(exist_ok=True)
    new.replace(root / DUMP_FILE)
    for path in (root / "files").glob("*/*"):
        if path.name not in files:
            path.unlink()


def _check_files(root: Path, files: Mapping[str, int]) -> None:
    damaged = [sha256 for sha256 in files if not _is_whole(file_path(root, sha256), sha256)]
    if damaged:
        raise DataLoss(
            f"{len(damaged)} files of the backup are missing or damaged, as {damaged[0]}; nothing was restored.",
            reason="BACKUP_DAMAGED",
            fix="Take another backup.",
        )


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
