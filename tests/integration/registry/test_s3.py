"""Files of versions in a real S3: what every place does, large ones, and a server that changes, refuses or is away."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lepton_ai.errors import DataLoss, FailedPrecondition, Unavailable
from lepton_ai.testing import MemoryStore
from services.registry.storage import s3
from services.registry.storage.blobs import FileBlobs, open_blobs
from tests.integration.registry.served import download, files_below, push, serving
from tests.s3 import BUCKET, LocalS3, running_s3
from tests.sample_packages import onnx_package
from tests.unit.registry.storage.contract import CONTENT, SHA, BlobsContract, read

LARGE_CHUNKS = 192
CHUNK_BYTES = 1 << 20
MEMORY_BYTES = 150 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[LocalS3]:
    with running_s3() as running:
        yield running


@pytest.fixture
def url(server: LocalS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place that nobody else has written to."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def blobs(url: str) -> FileBlobs:
    return open_blobs(url)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


class TestS3(BlobsContract):
    pass


def key(url: str, sha256: str) -> str:
    return f"{url.removeprefix(f's3://{BUCKET}/')}/{sha256[:2]}/{sha256}"


async def test_a_file_lies_under_its_hash(blobs: FileBlobs, url: str, server: LocalS3, source: Path) -> None:
    await blobs.put(SHA, source)
    assert server.object(key(url, SHA)) == CONTENT


async def test_what_was_changed_there_is_found_and_put_again(
    blobs: FileBlobs, url: str, server: LocalS3, source: Path
) -> None:
    await blobs.put(SHA, source)
    server.put_object(key(url, SHA), CONTENT[:-1] + b"\0")
    with pytest.raises(DataLoss):
        await read(blobs, SHA)
    assert await blobs.find_unsound([SHA]) == {SHA}
    await blobs.put(SHA, source)
    assert await read(blobs, SHA) == CONTENT


async def test_a_large_file_goes_there_and_back_in_parts(blobs: FileBlobs, tmp_path: Path) -> None:
    large, digest = tmp_path / "large", hashlib.sha256()
    with large.open("wb") as file:
        for number in range(LARGE_CHUNKS):
            chunk = number.to_bytes(4, "big") * (CHUNK_BYTES // 4)
            digest.update(chunk)
            file.write(chunk)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await blobs.put(digest.hexdigest(), large)
    received = 0
    async for chunk in blobs.read(digest.hexdigest()):  # raises when one byte is wrong
        received += len(chunk)
    assert received == LARGE_CHUNKS * CHUNK_BYTES
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) << 10 < MEMORY_BYTES


async def test_a_registry_keeps_its_versions_there(url: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    package = onnx_package(tmp_path / "package")
    async with serving(data, MemoryStore(), blobs_url=url) as served:
        pushed = await push(served.stub, package)
    async with serving(data, MemoryStore(), blobs_url=url) as served:  # one that has nothing in memory
        assert not (await push(served.stub, package)).created
        for file in pushed.version.manifest.files:
            content = await download(served.stub, file.sha256)
            assert hashlib.sha256(content).hexdigest() == file.sha256
    assert files_below(data / "staging") == []


@pytest.mark.parametrize(("name", "wrong"), [("AWS_SECRET_ACCESS_KEY", "x" * 32), ("AWS_ACCESS_KEY_ID", "nobody")])
def test_a_wrong_key_is_told_without_it(url: str, monkeypatch: pytest.MonkeyPatch, name: str, wrong: str) -> None:
    monkeypatch.setenv(name, wrong)
    with pytest.raises(FailedPrecondition, match="does not let the registry in") as caught:
        open_blobs(url)
    assert wrong not in str(caught.value)


def test_a_bucket_that_is_not_there_is_told(url: str) -> None:
    with pytest.raises(FailedPrecondition, match="bucket of LEPTON_BLOBS_URL"):
        open_blobs("s3://nobodys-bucket/models")


async def test_while_it_does_not_answer_calls_are_refused_and_work_again_afterwards(
    server: LocalS3, url: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_CLIENT", {"timeout": timedelta(seconds=0.5)})
    monkeypatch.setattr(s3, "_RETRIES", {"max_retries": 1})
    blobs = open_blobs(url)
    await blobs.put(SHA, source)
    server.pause()
    try:
        with pytest.raises(Unavailable, match="nothing was changed") as caught:
            await read(blobs, SHA)
        assert caught.value.fix
        with pytest.raises(Unavailable):
            await blobs.put(SHA, source)
    finally:
        server.resume()
    assert await read(blobs, SHA) == CONTENT
