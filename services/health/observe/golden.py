"""The input that a deployed version is tested with: a golden sample of its package, or zeros where it has none."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.package import DESCRIPTION_FILE, Description
from lepton_ai.package.golden import GoldenItem, build_golden
from lepton_ai.package.transfer import download, fetch_manifest
from lepton_ai.v1 import registry_pb2

_MAX_PACKAGES = 256


@dataclass(frozen=True)
class Sample:
    """What a test needs of a package's description; `golden` is None where it has no golden sample."""

    description: Description
    golden: GoldenItem | None


class GoldenSamples:
    """Fetches from the registry what is needed to test a version, once for each package digest."""

    def __init__(self, registry: ServicePool, *, max_bytes: int, timeout_s: float) -> None:
        self._registry = registry
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._samples: OrderedDict[str, Sample] = OrderedDict()

    async def sample(self, version: registry_pb2.DeployedVersion) -> Sample:
        """The first golden sample of a version's package.

        Raises LeptonError when the registry cannot deliver it; what was fetched once is kept.
        """
        if version.digest not in self._samples:
            self._samples[version.digest] = await self._fetch(version)
            if len(self._samples) > _MAX_PACKAGES:
                self._samples.popitem(last=False)
        self._samples.move_to_end(version.digest)
        return self._samples[version.digest]

    async def description(self, version: registry_pb2.DeployedVersion) -> Description:
        """What a version's package says of it. Raises LeptonError."""
        return (await self.sample(version)).description

    async def _fetch(self, version: registry_pb2.DeployedVersion) -> Sample:
        manifest = version.manifest
        if not manifest.files:
            manifest = await fetch_manifest(self._registry, version, timeout_s=self._timeout_s)
        files = {file.path: file for file in manifest.files}
        description = Description.parse(await self._read(files, DESCRIPTION_FILE))
        if not description.golden:
            return Sample(description, None)
        first = description.model_copy(update={"golden": description.golden[:1]})
        content: dict[str, bytes] = {}
        build_golden(first, lambda path, _: content.setdefault(path, b""))  # learn which files it reads
        texts = await asyncio.gather(*(self._read(files, path) for path in content))
        content = dict(zip(content, texts, strict=True))
        return Sample(description, build_golden(first, lambda path, _: content[path])[0])

    async def _read(self, files: dict[str, registry_pb2.PackageFile], path: str) -> bytes:
        if path not in files:
            raise InvalidInput(f"The package has no file {path[:255]!r}.")
        file = files[path]
        if file.size_bytes > self._max_bytes:
            raise ResourceExhausted(f"The golden sample has {file.size_bytes} bytes; {self._max_bytes} are allowed.")
        return await download(self._registry, file, timeout_s=self._timeout_s)
