"""Packages on their way to the registry, and files of them on their way back."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.client.control.registry_calls import RegistryClient, get_version
from lepton_ai.client.control.signatures import Key, sign_manifest
from lepton_ai.client.files.nearby import Offer, offered
from lepton_ai.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidInput,
    LeptonError,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from lepton_ai.mesh.machine import LEAST_BYTES
from lepton_ai.package.transfer import OnProgress, Part, fetch_file, push_version, read_chunks
from lepton_ai.references import check_name
from lepton_ai.v1 import registry_pb2

if TYPE_CHECKING:
    from lepton_ai.package import Package

_PUSH_TIMEOUT_S = 600.0
_SLOWEST_BYTES_PER_S = 50 << 20
_PATIENCE_S = 60.0
"""How long a push that broke off is tried again without that anything more arrives."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]")
_MAX_NAME = 64


class Transfers:
    """The part of `AsyncClient` for packages and their files."""

    async def push(
        self: RegistryClient,
        package: Path | str,
        *,
        sign: Key | None = None,
        on_progress: OnProgress | None = None,
        variant_of: str = "",
        variant: str = "",
    ) -> registry_pb2.ModelVersion:
        """Upload a package, a folder or a packed file, as the next version of its model; content that is there already
        is not sent again.

        `variant_of` ("NAME@VERSION"): as a variant of that version instead, from which `lepton optimise` has made it;
        `variant`: its name, else that of the method. Raises FailedPrecondition when it was made of another one, or when
        the version has another variant of this name.

        When the connection breaks or the registry is started again, the upload goes on where it stopped; for a minute
        without progress it is tried again. Pushing a package that is a version already returns that version, and mends
        the registry's files if they are damaged. `sign`: a private key, or the path of one, to sign the version with.
        """
        from lepton_ai.package import opened_package  # imported here to save time in clients that only predict

        async with AsyncExitStack() as stack:
            offer = await stack.enter_async_context(offered(self, package, on_progress))
            opened = await asyncio.to_thread(stack.enter_context, opened_package(package))
            place = await _place(self, opened, variant_of, variant)
            pushed = await _push(self, _Upload(opened, offer, on_progress, place))
            if sign is not None:
                await sign_manifest(self, opened.manifest(), pushed.version.version, sign, pushed.variant)
                # Where signatures are required, it is ready now.
                return await get_version(self, f"{pushed.version.model}@{pushed.version.version}")
            return pushed.version

    async def version(self: RegistryClient, model: str) -> registry_pb2.ModelVersion:
        """A pushed version (NAME: the newest), with its manifest and aliases. Raises NotFound."""
        return await get_version(self, model)

    async def download(self: RegistryClient, model: str, file: str, path: Path | str) -> Path:
        """Fetch a file of a pushed version (NAME: the newest) from the registry to `path`, whole or not at all.

        Raises NotFound for a version that does not exist or has no such file, DataLoss when the registry's is damaged.
        """
        version = await get_version(self, model)
        found = next((each for each in version.manifest.files if each.path == file), None)
        if found is None:
            names = ", ".join(each.path for each in version.manifest.files[:20])
            raise NotFound(
                f"{version.model}@{version.version} has no {file}.", reason="NO_SUCH_FILE", fix=f"It has {names}."
            )
        return await _fetch(self, found, Path(path))

    async def download_package(
        self: RegistryClient, model: str, directory: Path | str, *, on_progress: OnProgress | None = None
    ) -> registry_pb2.ModelVersion:
        """Fetch all files of a pushed version (NAME: the newest) into a folder that does not exist yet or is empty.

        Raises NotFound for a version that does not exist, FailedPrecondition for a folder with something in it,
        DataLoss when a file is not what was pushed.
        """
        from lepton_ai.package import PackageLimits, check_manifest
        from lepton_ai.package.directory import new_directory

        root = await asyncio.to_thread(new_directory, directory)
        version = await get_version(self, model)
        check_manifest(version.manifest, limits=PackageLimits())  # no path may lead out of the folder
        done = 0
        for file in version.manifest.files:
            await _fetch(self, file, root / file.path)
            done += file.size_bytes
            if on_progress is not None:
                on_progress(done, version.size_bytes)
        return version


async def _fetch(registry: RegistryClient, file: registry_pb2.PackageFile, path: Path) -> Path:
    return await registry._connections.call(
        "registry",
        lambda channel, left_s: fetch_file(channel, file, path, timeout_s=left_s),
        _timeout_s(file.size_bytes),
    )


@dataclass
class _Upload:
    """A package, and what the registry lacks of it."""

    package: Package
    offer: Offer
    on_progress: OnProgress | None
    place: registry_pb2.VariantOf | None = None
    """Which variant it is to become."""

    def parts(self, missing: registry_pb2.FindMissingFilesResponse) -> list[Part]:
        """What is to be sent: each content once, from where the registry has it."""
        kept = {each.sha256: each.size_bytes for each in missing.kept}
        wanted, files = set(missing.sha256), self.package.files
        paths = {file.sha256: self.package.path(path) for path, file in files.items() if file.sha256 in wanted}
        return [Part(sha256, path, kept.get(sha256, 0)) for sha256, path in paths.items()]

    async def requests(self, parts: list[Part]) -> AsyncGenerator[bytes]:
        """The push, encoded."""
        first = registry_pb2.PushVersionRequest(manifest=self.package.manifest(), variant_of=self.place)
        yield first.SerializeToString()
        async with aclosing(read_chunks(parts, self.on_progress)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _place(
    registry: RegistryClient, package: Package, variant_of: str, variant: str
) -> registry_pb2.VariantOf | None:
    """Which variant a package is to become; None for a version. Raises InvalidInput."""
    if not variant_of:
        if variant:
            raise InvalidInput.of_field("variant", "is given without the version that it is of", fix="Name that, too.")
        return None
    optimised = package.description.optimised
    if optimised is None:
        raise InvalidInput.of_field(
            "package", "does not say that it is a variant", reason="OTHER_ORIGINAL", fix="Make one: lepton optimise."
        )
    version = await get_version(registry, variant_of)
    name = variant or _NOT_IN_NAMES.sub(".", optimised.method.lower())[:_MAX_NAME]
    return registry_pb2.VariantOf(version=version.version, name=check_name(name, field="variant"))


async def _push(registry: RegistryClient, upload: _Upload) -> registry_pb2.PushVersionResponse:
    package = upload.package
    size_bytes = sum(file.size_bytes for file in package.files.values())
    request = registry_pb2.FindMissingFilesRequest(sha256=[file.sha256 for file in package.files.values()])
    # The registry may have to read those of the files that it has.
    find_s = registry._timeout_s + size_bytes / _SLOWEST_BYTES_PER_S

    async def ask() -> list[Part]:
        found = await registry._registry(lambda stub, left_s: stub.FindMissingFiles(request, timeout=left_s), find_s)
        return upload.parts(found)

    async def find() -> list[Part]:
        parts = await ask()
        is_worth_it = any(part.left_bytes >= LEAST_BYTES for part in parts)
        return await ask() if is_worth_it and await upload.offer.settle(package) else parts

    async def send(parts: list[Part]) -> registry_pb2.PushVersionResponse:
        return await registry._connections.call(
            "registry",
            lambda channel, left_s: push_version(
                channel, upload.requests(parts), timeout_s=left_s, proof=registry._proof
            ),
            _timeout_s(size_bytes),
            idempotent=False,
        )

    return await _patiently(find, send)


async def _patiently(
    find: Callable[[], Awaitable[list[Part]]],
    send: Callable[[list[Part]], Awaitable[registry_pb2.PushVersionResponse]],
) -> registry_pb2.PushVersionResponse:
    """Send what is missing; when that breaks off, ask what is missing now, as long as it gets less now and then."""
    found = await find()  # a registry that is not there at all is not waited for
    parts: list[Part] | None = found
    least, progress_s, pause_s = _left_bytes(found), time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            parts = await find() if parts is None else parts
            if _left_bytes(parts) < least:
                least, progress_s, pause_s = _left_bytes(parts), time.monotonic(), _FIRST_PAUSE_S
            return await send(parts)
        except LeptonError as error:
            if not _is_passing(error) or time.monotonic() - progress_s > _PATIENCE_S:
                raise
            wait_s = error.retry_after_s or pause_s * random.uniform(0.5, 1)  # noqa: S311 - it only spreads
        parts, pause_s = None, min(2 * pause_s, _LONGEST_PAUSE_S)
        await asyncio.sleep(wait_s)


def _left_bytes(parts: list[Part]) -> int:
    return sum(part.left_bytes for part in parts)


def _is_passing(error: LeptonError) -> bool:
    """Whether the same push may work in a moment: the registry or the way to it is gone, or is too busy."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after_s is not None
    return isinstance(error, Unavailable | DeadlineExceeded | Cancelled)


def _timeout_s(size_bytes: int) -> float:
    return _PUSH_TIMEOUT_S + size_bytes / _SLOWEST_BYTES_PER_S
