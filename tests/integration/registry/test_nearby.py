"""Large files go from disk to disk where registry and caller are on one machine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton_ai import AsyncClient
from lepton_ai.addresses import Addresses
from lepton_ai.client.files import nearby
from lepton_ai.errors import DataLoss
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.machine import LEAST_BYTES, machine_name, place_of
from lepton_ai.package import Package, transfer
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import registry_pb2 as pb
from tests.integration.registry.served import TIMEOUT_S, Served, files_below, push, serving
from tests.sample_packages import onnx_package

BIG = "大.bin"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", MemoryStore()) as running:
        yield running


@pytest.fixture
async def client(served: Served) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(Addresses(registry=served.address)) as made:
        yield made


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return onnx_package(tmp_path / "p", files={BIG: os.urandom(LEAST_BYTES)})


@pytest.fixture
def another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for caller in (nearby, transfer):
        monkeypatch.setattr(caller, "machine_name", lambda: "0" * 64)


class Sent:
    """What of a push went over the connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        encode = transfer.encode_chunk

        def counted(part: transfer.Part, data: bytes) -> bytes:
            self.bytes += len(data)
            return encode(part, data)

        monkeypatch.setattr(transfer, "encode_chunk", counted)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


def big_path(package: Package) -> Path:
    return package.path(BIG)


async def take(served: Served, places: Sequence[pb.FilePlace], sha256: Sequence[str]) -> list[str]:
    """What is kept of these files, said to have these hashes."""
    call: Any = served.stub.TakeFiles(timeout=TIMEOUT_S)
    await call.write(pb.TakeFilesRequest(machine=machine_name()))
    assert (await call.read()).accepted
    await call.write(pb.TakeFilesRequest(places=places))
    await call.write(pb.TakeFilesRequest(sha256=sha256))
    await call.done_writing()
    kept: list[str] = []
    while response := await call.read():
        kept += response.kept
    return kept


async def test_a_large_file_is_pushed_and_pulled_without_being_sent(
    client: AsyncClient, package: Package, sent: Sent, served: Served, tmp_path: Path
) -> None:
    progress: list[tuple[int, int]] = []
    version = await client.push(package.directory, on_progress=lambda *each: progress.append(each))
    assert version.digest == package.digest
    assert sent.bytes < LEAST_BYTES
    assert (LEAST_BYTES, LEAST_BYTES) in progress, "copying is told, too"
    assert min(done for done, _ in progress) == LEAST_BYTES, "what is copied counts as sent"
    pulled = await client.download("doubler", BIG, tmp_path / "pulled")
    assert pulled.read_bytes() == big_path(package).read_bytes()
    assert files_below(served.data_dir / "uploads") == files_below(served.data_dir / "staging") == []


@pytest.mark.usefixtures("another_machine")
async def test_from_another_machine_all_is_sent(
    client: AsyncClient, package: Package, sent: Sent, tmp_path: Path
) -> None:
    await client.push(package.directory)
    assert sent.bytes > LEAST_BYTES
    pulled = await client.download("doubler", BIG, tmp_path / "pulled")
    assert pulled.read_bytes() == big_path(package).read_bytes()


async def test_what_is_there_already_is_not_kept_once_more(
    client: AsyncClient, package: Package, served: Served
) -> None:
    first = await client.push(package.directory)
    assert (await client.push(package.directory)).version == first.version
    await eventually(lambda: not files_below(served.data_dir / "staging"), description="the copy is gone")
    assert files_below(served.data_dir / "uploads") == []


async def test_a_file_is_kept_only_for_who_can_say_its_hash(served: Served, package: Package) -> None:
    place, right = place_of(big_path(package)), package.files[BIG].sha256
    assert await take(served, [place], ["0" * 64]) == []
    assert files_below(served.data_dir / "uploads") == []
    assert await take(served, [place], [right]) == [right]


async def test_a_file_that_is_not_where_it_is_said_to_be_is_left_out(served: Served, package: Package) -> None:
    place, right = place_of(big_path(package)), package.files[BIG].sha256
    small = place_of(package.path("lepton.yaml"))
    gone = pb.FilePlace(path="/no/such/file", size_bytes=LEAST_BYTES)
    assert await take(served, [gone, small, place], ["1" * 64, "2" * 64, right]) == [right]


async def test_no_more_is_copied_than_is_kept(tmp_path: Path, package: Package) -> None:
    place, right = place_of(big_path(package)), package.files[BIG].sha256
    async with serving(tmp_path / "small", MemoryStore(), keep_uploads_bytes=LEAST_BYTES + 1) as served:
        assert await take(served, [place, place], ["0" * 64, right]) == []
        assert await take(served, [place], [right]) == [right]


async def test_places_without_hashes_are_refused(served: Served, package: Package) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await take(served, [place_of(big_path(package))], [])
    assert from_rpc_error(caught.value).reason == "INVALID_ARGUMENT"
    assert files_below(served.data_dir / "staging") == []


async def test_other_machines_are_told_of_no_place(served: Served, package: Package) -> None:
    call = served.stub.TakeFiles(timeout=TIMEOUT_S)
    await call.write(pb.TakeFilesRequest(machine="0" * 64))
    assert [response.accepted async for response in call] == [False]
    await push(served.stub, package)
    request = pb.LocateFileRequest(sha256=package.files[BIG].sha256, machine="0" * 64)
    assert await served.stub.LocateFile(request, timeout=TIMEOUT_S) == pb.FilePlace()


async def test_a_caller_that_goes_away_leaves_nothing(served: Served, package: Package) -> None:
    call = served.stub.TakeFiles(timeout=TIMEOUT_S)
    await call.write(pb.TakeFilesRequest(machine=machine_name()))
    await call.read()
    await call.write(pb.TakeFilesRequest(places=[place_of(big_path(package))]))
    await eventually(lambda: files_below(served.data_dir / "staging") != [], description="it is being copied")
    call.cancel()
    await eventually(lambda: not files_below(served.data_dir / "staging"), description="the copy is gone")


async def test_a_kept_file_that_was_written_to_is_not_taken_for_the_whole(
    client: AsyncClient, served: Served, package: Package, sent: Sent
) -> None:
    right = package.files[BIG].sha256
    assert await take(served, [place_of(big_path(package))], [right]) == [right]
    (kept,) = files_below(served.data_dir / "uploads")
    with kept.open("r+b") as file:
        file.write(bytes(4))
    await push(served.stub, package)
    read = await client.download("doubler", BIG, package.directory.parent / "pulled")
    assert read.read_bytes() == big_path(package).read_bytes()


async def test_a_damaged_file_is_found_by_who_reads_it(
    client: AsyncClient, served: Served, package: Package, tmp_path: Path
) -> None:
    await client.push(package.directory)
    sha256 = package.files[BIG].sha256
    blob = served.data_dir / "blobs" / sha256[:2] / sha256
    with blob.open("r+b") as file:
        file.write(bytes(4))
    with pytest.raises(DataLoss):
        await client.download("doubler", BIG, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    await client.push(package.directory)
    assert (await client.download("doubler", BIG, tmp_path / "pulled")).stat().st_size == LEAST_BYTES
