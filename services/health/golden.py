"""Test predictions for deployed models: a golden sample of the package, or zeros where it has none."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import OrderedDict

import grpc

from lepton_ai.errors import DataLoss, InvalidInput, ResourceExhausted
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.package import DESCRIPTION_FILE, Description
from lepton_ai.package.golden import GoldenItem, build_golden
from lepton_ai.tensors import ELEMENT_BYTES
from lepton_ai.v1 import common_pb2, registry_pb2, registry_pb2_grpc

_MAX_PACKAGES = 256


class GoldenSamples:
    """Fetches from the registry what is needed to test a version, once for each package digest."""

    def __init__(self, registry: ServicePool, *, max_bytes: int, timeout_s: float) -> None:
        self._registry = registry
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._samples: OrderedDict[str, GoldenItem | list[common_pb2.Tensor]] = OrderedDict()

    async def sample(self, version: registry_pb2.DeployedVersion) -> GoldenItem | list[common_pb2.Tensor]:
        """The first golden sample of a package or, without one, zeros for its inputs (batch of 1).

        Raises LeptonError when the registry cannot deliver it; what was fetched once is kept.
        """
        if version.digest not in self._samples:
            self._samples[version.digest] = await self._fetch(version)
            if len(self._samples) > _MAX_PACKAGES:
                self._samples.popitem(last=False)
        self._samples.move_to_end(version.digest)
        return self._samples[version.digest]

    async def _fetch(self, version: registry_pb2.DeployedVersion) -> GoldenItem | list[common_pb2.Tensor]:
        files = {file.path: file for file in version.manifest.files}
        description = Description.parse(await self._read(files, DESCRIPTION_FILE))
        if not description.golden:
            return [_zeros(spec.name, spec.dtype, spec.shape) for spec in description.inputs]
        first = description.model_copy(update={"golden": description.golden[:1]})
        content: dict[str, bytes] = {}
        build_golden(first, lambda path, _: content.setdefault(path, b""))  # learn which files it reads
        texts = await asyncio.gather(*(self._read(files, path) for path in content))
        content = dict(zip(content, texts, strict=True))
        return build_golden(first, lambda path, _: content[path])[0]

    async def _read(self, files: dict[str, registry_pb2.PackageFile], path: str) -> bytes:
        if path not in files:
            raise InvalidInput(f"The package has no file {path[:255]!r}.")
        file = files[path]
        if file.size_bytes > self._max_bytes:
            raise ResourceExhausted(f"The golden sample has {file.size_bytes} bytes; {self._max_bytes} are allowed.")
        request = registry_pb2.DownloadFileRequest(sha256=file.sha256)

        async def download(channel: grpc.aio.Channel, timeout_s: float) -> bytes:
            stub = registry_pb2_grpc.RegistryServiceStub(channel)
            parts = [part.data async for part in stub.DownloadFile(request, timeout=timeout_s)]
            return b"".join(parts)

        content = await self._registry.call(download, timeout_s=self._timeout_s)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise DataLoss("The registry delivered a file that does not match its hash.")
        return content


def _zeros(name: str, dtype: str, shape: tuple[int, ...]) -> common_pb2.Tensor:
    """A batch of one; free dimensions are 1. BYTES elements are empty: a length of zero each."""
    concrete = [1 if size < 0 else size for size in shape]
    width = ELEMENT_BYTES.get(dtype, 4)
    number = common_pb2.DataType.Value(f"DATA_TYPE_{dtype}")
    return common_pb2.Tensor(name=name, dtype=number, shape=concrete, data=bytes(width * math.prod(concrete)))
