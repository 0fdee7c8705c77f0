"""Tags, searches and lineage over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.served import TIMEOUT_S, Served, push, serving
from tests.sample_packages import onnx_package


@asynccontextmanager
async def filled(tmp_path: Path) -> AsyncIterator[Served]:
    """Versions 1 to 3 of effi, of which 2 is archived, and version 1 of 'other'."""
    async with serving(tmp_path / "data", MemoryStore(), dry_run="off") as running:
        for number in (1, 2, 3):
            about: dict[str, Any] = {"lineage": {"parent": f"effi@{number - 1}", "data_digest": str(number) * 64}}
            about["metrics"] = {"top1": number / 10}
            package = onnx_package(tmp_path / str(number), name="effi", max_batch_size=number, **about)
            await push(running.stub, package)
        await push(running.stub, onnx_package(tmp_path / "other", name="other", description="100% 猫_x"))
        await running.stub.ArchiveVersion(
            pb.ChangeVersionRequest(model=ModelRef(name="effi", version=2)), timeout=TIMEOUT_S
        )
        yield running


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """For one test, which may change it."""
    async with filled(tmp_path) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tagged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """For tests that only read, with tags and an alias."""
    async with filled(tmp_path_factory.mktemp("tagged")) as running:
        await tag(running, "team", "vision")
        await tag(running, "stage", "final", version=3)
        await call(running.stub.SetAlias, pb.SetAliasRequest(model="effi", alias="best", version=1))
        yield running


async def call(method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def tag(served: Served, key: str, value: str, version: int = 0) -> dict[str, str]:
    ref = ModelRef(name="effi", version=version) if version else ModelRef(name="effi")
    answer = await call(served.stub.SetTag, pb.SetTagRequest(model=ref, key=key, value=value))
    return dict(answer.tags)


async def found(served: Served, text: str) -> list[str]:
    answer = await call(served.stub.SearchVersions, pb.SearchVersionsRequest(filter=text))
    return [f"{each.model}@{each.version}" for each in answer.versions]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ["effi@3", "effi@2", "effi@1", "other@1"]),
        ("name~EFF and state=ready", ["effi@3", "effi@1"]),
        ("state!=ready", ["effi@2"]),
        ("version>1", ["effi@3", "effi@2"]),
        ("metric.top1>=0.2", ["effi@3", "effi@2"]),
        ("metric.top1<0.2", ["effi@1"]),
        ("metric.top5>0", []),
        ("parent=effi@2", ["effi@3"]),
        (f"data_digest={'2' * 64}", ["effi@2"]),
        ('description~"100% 猫_"', ["other@1"]),
        ('description~"1000"', []),
        ("alias=best", ["effi@1"]),
        ("alias!=best and name=effi", ["effi@3", "effi@2"]),
        ("tag.team=vision and tag.stage=final", ["effi@3"]),
        ("tag.team!=vision", ["other@1"]),
    ],
)
async def test_a_filter_lets_through_what_it_says(tagged: Served, text: str, wanted: list[str]) -> None:
    assert await found(tagged, text) == wanted


async def test_pages_follow_one_another(served: Served) -> None:
    token, seen = "", []
    for _ in range(4):
        request = pb.SearchVersionsRequest(page_size=1, page_token=token)
        page = await call(served.stub.SearchVersions, request)
        seen += [f"{each.model}@{each.version}" for each in page.versions]
        token = page.next_page_token
    assert (seen, token) == (["effi@3", "effi@2", "effi@1", "other@1"], "")
    with pytest.raises(InvalidInput, match="page_token"):
        await call(served.stub.SearchVersions, pb.SearchVersionsRequest(page_token="nonsense"))


async def test_tags_are_set_changed_and_taken_away(served: Served) -> None:
    assert await tag(served, "team", "视觉", version=1) == {"team": "视觉"}
    assert await tag(served, "team", "audio", version=1) == {"team": "audio"}
    version = await call(served.stub.GetVersion, pb.GetVersionRequest(model=ModelRef(name="effi", version=1)))
    assert dict(version.tags) == {"team": "audio"}
    assert await tag(served, "team", "", version=1) == {}
    with pytest.raises(InvalidInput, match="key"):
        await tag(served, "No Key", "x")
    with pytest.raises(NotFound):
        await tag(served, "team", "x", version=9)


async def test_lineage_and_sizes_come_with_versions(served: Served) -> None:
    version = await call(served.stub.GetVersion, pb.GetVersionRequest(model=ModelRef(name="effi", version=3)))
    assert (version.lineage.parent, version.lineage.metrics["top1"]) == ("effi@2", 0.3)
    listed = (await call(served.stub.SearchVersions, pb.SearchVersionsRequest(filter="version=3"))).versions[0]
    assert (listed.size_bytes, listed.lineage) == (version.size_bytes, version.lineage)
    assert not listed.HasField("manifest")
