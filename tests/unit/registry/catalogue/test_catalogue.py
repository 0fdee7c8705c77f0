"""Lists of models: whole, or page by page and short enough for any number of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.testing import MemoryStore
from lepton_ai.v1.common_pb2 import ModelRef
from lepton_ai.v1.registry_pb2 import ListModelsRequest
from services.registry.catalogue.catalogue import Catalogue
from services.registry.completion import Completion
from services.registry.database.sql_store import SqlStore
from services.registry.deployments.deployments import Deployments
from services.registry.deployments.settlement import Settlement
from services.registry.storage.blobs import open_blobs
from services.registry.storage.kept_uploads import KeptUploads
from services.registry.storage.pins import Pins
from tests.unit.registry.records import add_versions


@pytest.fixture
async def catalogue(store: SqlStore, tmp_path: Path) -> Catalogue:
    """Five models with two versions each, one of them deployed."""
    for name in ("ant", "bee", "cat", "dog", "eel"):
        await add_versions(store, name, 2)
    settlement = Settlement(MemoryStore(), state_address="")
    deployments = Deployments(store=store, settlement=settlement, completion=Completion())
    await deployments.deploy(ModelRef(name="cat", version=2), actor="tester")
    return Catalogue(store, open_blobs(str(tmp_path / "blobs")), KeptUploads(tmp_path / "kept"), Pins())


async def test_all_models_are_listed_at_once_without_a_page_size(catalogue: Catalogue) -> None:
    listed = await catalogue.list_models(ListModelsRequest())
    assert [model.name for model in listed.models] == ["ant", "bee", "cat", "dog", "eel"]
    assert listed.next_page_token == ""
    assert len(listed.models[2].versions[0].manifest.files) == 2


@pytest.mark.parametrize("page_size", [1, 2, 4, 5, 100])
async def test_pages_follow_one_another_until_all_are_listed(catalogue: Catalogue, page_size: int) -> None:
    request, names = ListModelsRequest(page_size=page_size), []
    while True:
        page = await catalogue.list_models(request)
        assert 1 <= len(page.models) <= page_size
        names += [model.name for model in page.models]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert names == ["ant", "bee", "cat", "dog", "eel"]


async def test_a_summary_is_the_same_without_the_lists_of_files(catalogue: Catalogue) -> None:
    whole = (await catalogue.list_models(ListModelsRequest())).models
    for model in whole:
        for version in (*model.versions, *model.deployment.versions):
            version.ClearField("manifest")
    assert list((await catalogue.list_models(ListModelsRequest(summary=True))).models) == list(whole)


@pytest.mark.parametrize("summary", [False, True])
async def test_a_model_that_is_not_there_is_not_found(catalogue: Catalogue, summary: bool) -> None:
    with pytest.raises(NotFound, match="no model nobody"):
        await catalogue.list_models(ListModelsRequest(name="nobody", summary=summary))


@pytest.mark.parametrize("request_", [ListModelsRequest(page_size=1001), ListModelsRequest(page_token="../x")])
async def test_a_page_that_cannot_be_is_refused(catalogue: Catalogue, request_: ListModelsRequest) -> None:
    with pytest.raises(InvalidInput):
        await catalogue.list_models(request_)
