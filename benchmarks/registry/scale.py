"""The registry with 1,000 models of 20 versions: how long lists, look-ups and alias flips take, on both databases."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import SecretStr

from benchmarks.report import Report
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from services.registry.database.sql_store import SqlStore, open_postgresql, open_sqlite
from services.registry.database.store import FileRecord, NewVersion
from tests.integration.registry.served import serving
from tests.postgresql import running_postgresql

if TYPE_CHECKING:
    from lepton_ai.v1.registry_pb2_grpc import RegistryServiceAsyncStub

MODELS, VERSIONS, FILES = 1000, 20, 5
CALLS = 200
TIMEOUT_S = 30.0


async def measure(directory: Path) -> list[Report]:
    """One table; its rows are the calls."""
    columns = ["call", "SQLite p50", "p95", "PostgreSQL p50", "p95"]
    sqlite = directory / "sqlite"
    sqlite.mkdir()
    store = await open_sqlite(sqlite / "registry.sqlite")
    await _fill(store)
    await store.close()
    embedded = await _times(sqlite)
    with running_postgresql() as server:
        url = server.url(await server.new_database())
        store, _ = await open_postgresql(url)
        await _fill(store)
        await store.close()
        shared = await _times(directory / "postgresql", database_url=SecretStr(url))
    rows = [[call, *_shown(embedded[call]), *_shown(shared[call])] for call in embedded]
    title = f"Registry of {MODELS:,} models × {VERSIONS} versions, each of {FILES} files"
    return [
        Report(title, columns, rows, note=f"Times over gRPC in ms, of {CALLS} calls each; the goal is 20 ms at p95.")
    ]


async def _fill(store: SqlStore) -> None:
    for number in range(MODELS):
        name = _name(number)
        async with store.writing() as writing:
            for version in range(VERSIONS):
                hashes = [hashlib.sha256(f"{name}{version}{file}".encode()).hexdigest() for file in range(FILES)]
                files = tuple(FileRecord(f"file-{index}.bin", 1 << 20, sha256) for index, sha256 in enumerate(hashes))
                await writing.add_version(NewVersion(name, hashes[0], "", files))


async def _times(directory: Path, **settings: SecretStr) -> dict[str, list[float]]:
    chance = random.Random(11)
    async with serving(directory, MemoryStore(), **settings) as served:
        return {what: await _measure(partial(call, served.stub, chance)) for what, call in _CALLS.items()}


async def _measure(call: Callable[[], Awaitable[object]]) -> list[float]:
    await call()
    times_ms = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        times_ms.append(1000 * (time.perf_counter() - began))
    return times_ms


def _shown(times_ms: list[float]) -> list[str]:
    return [f"{np.percentile(times_ms, share):.1f}" for share in (50, 95)]


def _name(number: int) -> str:
    return f"model-{number:04d}"


def _page(size: int, stub: RegistryServiceAsyncStub, chance: random.Random) -> Awaitable[object]:
    after = _name(chance.randrange(MODELS - size))
    return stub.ListModels(pb.ListModelsRequest(page_size=size, page_token=after, summary=True), timeout=TIMEOUT_S)


def _get_model(stub: RegistryServiceAsyncStub, chance: random.Random) -> Awaitable[object]:
    return stub.ListModels(pb.ListModelsRequest(name=_name(chance.randrange(MODELS))), timeout=TIMEOUT_S)


def _get_version(stub: RegistryServiceAsyncStub, chance: random.Random) -> Awaitable[object]:
    ref = ModelRef(name=_name(chance.randrange(MODELS)), version=1 + chance.randrange(VERSIONS))
    return stub.GetVersion(pb.GetVersionRequest(model=ref), timeout=TIMEOUT_S)


def _flip(stub: RegistryServiceAsyncStub, chance: random.Random) -> Awaitable[object]:
    request = pb.SetAliasRequest(
        model=_name(chance.randrange(MODELS)), alias="best", version=1 + chance.randrange(VERSIONS)
    )
    return stub.SetAlias(request, timeout=TIMEOUT_S)


_CALLS: dict[str, Callable[[RegistryServiceAsyncStub, random.Random], Awaitable[object]]] = {
    "a page of 20 models (400 versions)": partial(_page, 20),
    "a page of 50 models (1,000 versions)": partial(_page, 50),
    "one model with all its versions": _get_model,
    "one version": _get_version,
    "an alias flipped": _flip,
}
