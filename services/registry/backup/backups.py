"""Dumps the database while the registry serves, and fills an empty registry from a dump and its files.

Both go through the registry's port: it works from another machine, with every database and every store of files, and
whoever may do it shows a token. The rows are read in one transaction, so they fit together; a file is kept as long as a
version holds it, so it is still there when its turn comes.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import IO

from lepton_ai.backup.dump import Dump, DumpWriter, Header, Row
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput
from lepton_ai.package import manifest_digest
from lepton_ai.v1 import registry_pb2
from services.registry.audit.chain import ChainCheck, ChainedEntry
from services.registry.catalogue.record import VersionState
from services.registry.completion import Completion
from services.registry.database.store import AuditEntry, Store
from services.registry.storage.blobs import Blobs
from services.registry.storage.data_directory import DataDirectory
from services.registry.storage.room import disk_errors

_CHUNK_BYTES = 1 << 20
_DUMP = "dump"


@dataclass(frozen=True)
class Backups:
    """Backups of one registry."""

    store: Store
    blobs: Blobs
    directory: DataDirectory
    completion: Completion

    async def back_up(self) -> AsyncIterator[bytes]:
        """The database as a dump, in chunks. It is written to the disk first: a slow caller holds up no transaction."""
        async with disk_errors():
            staging = self.directory.new_staging()
        try:
            async with disk_errors():
                path = staging / _DUMP
                await self._write(path)
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                    yield chunk
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)

    async def restore(
        self, requests: AsyncIterator[registry_pb2.RestoreRequest], *, actor: str
    ) -> registry_pb2.RestoreResponse:
        """Fill this registry, which must be empty, with files and then a dump that needs them.

        Raises FailedPrecondition when it is not empty or of another release, DataLoss for a damaged backup: then no row
        was written.
        """
        await self._check_empty()
        async with disk_errors():
            staging = self.directory.new_staging()
        try:
            async with disk_errors():
                with (staging / _DUMP).open("wb") as dump:
                    await self._receive(requests, staging, dump)
            dump_file = Dump(staging / _DUMP)
            await self._check(dump_file)
            return await self.completion.finish(self._load(dump_file, actor))
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)

    async def _write(self, path: Path) -> None:
        writer = DumpWriter()
        with path.open("wb") as file:
            async with self.store.reading() as reading:
                header = Header(await reading.revision(), datetime.now(UTC).isoformat())
                file.write(writer.begin(header))
                async for table, row in reading.dump():
                    file.write(writer.row(table, row))
            file.write(writer.end())

    async def _check_empty(self) -> None:
        async with self.store.reading() as reading:
            if not await reading.is_empty():
                raise FailedPrecondition(
                    "This registry is not empty, and a backup takes the place of nothing.",
                    reason="NOT_EMPTY",
                    fix="Restore into a registry with a new LEPTON_DATA_DIR, or a new database.",
                )

    async def _receive(
        self, requests: AsyncIterator[registry_pb2.RestoreRequest], staging: Path, dump: IO[bytes]
    ) -> None:
        incoming: _Incoming | None = None
        try:
            async for request in requests:
                if request.WhichOneof("kind") == "dump":
                    await self._keep(incoming)
                    incoming = None
                    await asyncio.to_thread(dump.write, request.dump)
                    continue
                chunk = request.file
                if incoming is None or incoming.sha256 != chunk.sha256:
                    await self._keep(incoming)
                    incoming = _Incoming.open(staging, chunk.sha256)
                await asyncio.to_thread(incoming.write, chunk.data)
            await self._keep(incoming)
        finally:
            if incoming is not None:
                incoming.file.close()

    async def _keep(self, incoming: _Incoming | None) -> None:
        if incoming is not None:
            incoming.file.close()
            await self.blobs.put(incoming.sha256, incoming.path)  # which hashes it: raises DataLoss for another content
            incoming.path.unlink(missing_ok=True)

    async def _check(self, dump: Dump) -> None:
        """Raises DataLoss for a dump that is damaged, or whose versions, files or audit trail do not fit together."""
        header = await asyncio.to_thread(dump.check)
        async with self.store.reading() as reading:
            revision = await reading.revision()
        if header.revision != revision:
            raise FailedPrecondition(
                f"The backup is of schema {header.revision[:64]!r}, this release has {revision!r}.",
                reason="BACKUP_REVISION",
                fix="Restore it with the release that made it, and update that.",
            )
        try:
            await asyncio.to_thread(check_rows, dump)
        except (KeyError, TypeError, ValueError) as error:
            raise _inconsistent("its rows have other columns") from error
        if missing := await self.blobs.find_unsound(await asyncio.to_thread(lambda: set(dump.files()))):
            raise DataLoss(
                f"{len(missing)} files of the backup are missing or damaged; no row was written.",
                reason="BACKUP_DAMAGED",
                fix="Take another backup.",
            )

    async def _load(self, dump: Dump, actor: str) -> registry_pb2.RestoreResponse:
        async with self.store.writing() as writing:
            if not await writing.is_empty():
                raise FailedPrecondition("Somebody has filled this registry meanwhile.", reason="NOT_EMPTY")
            rows = await writing.load(dump.rows())
            models = await writing.models()
            await writing.record(AuditEntry(actor, "restore_backup", "", before=None, after={"rows": rows}))
        return registry_pb2.RestoreResponse(rows=rows, models=len(models))


@dataclass
class _Incoming:
    """A file that is being received."""

    sha256: str
    path: Path
    file: IO[bytes]

    @classmethod
    def open(cls, staging: Path, sha256: str) -> _Incoming:
        """Raises InvalidInput for what is no hash, which must never reach a path."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise InvalidInput.of_field("file.sha256", "must be 64 lower-case hex digits")
        return cls(sha256, staging / sha256, (staging / sha256).open("wb"))

    def write(self, data: bytes) -> None:
        self.file.write(data)


Key = tuple[str, int, str]
"""Model, version, and variant: empty for the version itself."""


def check_rows(dump: Dump) -> None:
    """Raises DataLoss when a version's digest is not that of its files, or the audit trail was changed."""
    versions: dict[Key, str] = {}
    variants: dict[Key, str] = {}
    numbers: set[tuple[str, int]] = set()
    chain = ChainCheck()
    for table, rows in groupby(dump.rows(), key=lambda each: each[0]):
        if table == "versions":
            kept = [row for _, row in rows if row["state"] != VersionState.DELETED.value]
            versions = {(row["model"], row["version"], ""): row["digest"] for row in kept}
            numbers = {(model, version) for model, version, _ in versions}
        elif table == "files":
            _check_files(rows, versions)
        elif table == "variants":
            its = [row for _, row in rows if (row["model"], row["version"]) in numbers]
            variants = {(row["model"], row["version"], row["name"]): row["digest"] for row in its}
        elif table == "variant_files":
            _check_files(rows, variants)
        elif table == "audit":
            _check_chain(rows, chain)


def _check_files(rows: Iterator[Row], versions: dict[Key, str]) -> None:
    for key, files in groupby(rows, key=_key):
        manifest = registry_pb2.Manifest(model=key[0])
        for _, row in files:
            manifest.files.add(path=row["path"], size_bytes=row["size_bytes"], sha256=row["sha256"])
        if versions.pop(key, None) != manifest_digest(manifest):
            raise _inconsistent(f"{key[0]}@{key[1]} has other files than its digest says")
    if versions:
        raise _inconsistent("versions have no files")


def _key(row: Row) -> Key:
    return row[1]["model"], row[1]["version"], row[1].get("variant", "")


def _check_chain(rows: Iterator[Row], chain: ChainCheck) -> None:
    for _, row in rows:
        chain.follow(ChainedEntry(**{**row, "at": datetime.fromisoformat(row["at"])}))
    if chain.broken is not None:
        raise _inconsistent(f"entry {chain.broken} of the audit trail does not follow from those before it")


def _inconsistent(what: str) -> DataLoss:
    said = f"The backup does not fit together: {what[:200]}."
    return DataLoss(said, reason="BACKUP_DAMAGED", fix="Take another one.")
