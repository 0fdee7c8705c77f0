"""Who may change the registry: whoever shows its token, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton_ai.credentials import Metadata, token_metadata
from lepton_ai.errors import Unauthenticated
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.serving.tokens import create_token, delete_token
from lepton_ai.v1 import registry_pb2 as pb
from services.registry.servicer import OPEN_METHODS
from tests.integration.registry.process import NOBODY, environment, registry_process, start
from tests.integration.registry.served import TIMEOUT_S, push
from tests.sample_packages import onnx_package

TOKEN = "t0ken-of-this-test"
METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["RegistryService"].methods}
CHANGES = sorted(METHODS.keys() - set(OPEN_METHODS))


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    async with registry_process(tmp_path / "data", token_file=str(tmp_path / "token")) as process:
        yield process.stub


async def _call(stub: Any, name: str, metadata: Metadata) -> grpc.StatusCode:
    """Call with an empty message and return what is answered."""
    message = getattr(pb, METHODS[name].input_type.name)()
    request: Any = iter([message]) if METHODS[name].client_streaming else message
    call = getattr(stub, name)(request, timeout=TIMEOUT_S, metadata=metadata)
    try:
        if METHODS[name].server_streaming:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def _wrong() -> Iterator[Metadata]:
    yield ()
    yield token_metadata(TOKEN[:-1])
    yield token_metadata(f"{TOKEN} ")
    yield (("authorization", TOKEN),)


async def test_every_change_needs_the_token(stub: Any) -> None:
    assert {"PushVersion", "Deploy", "Undeploy", "SetAlias"} <= set(CHANGES)
    for name in CHANGES:
        for metadata in _wrong():
            assert await _call(stub, name, metadata) == grpc.StatusCode.UNAUTHENTICATED, name
        assert await _call(stub, name, token_metadata(TOKEN)) != grpc.StatusCode.UNAUTHENTICATED, name


async def test_everybody_may_read(stub: Any) -> None:
    for name in OPEN_METHODS:
        assert await _call(stub, name, ()) != grpc.StatusCode.UNAUTHENTICATED, name
    assert await _call(stub, "ListModels", ()) == grpc.StatusCode.OK


async def test_whoever_shows_a_token_of_its_own_stands_by_name_in_the_audit_trail(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    alice = create_token(tokens, "alice")
    async with registry_process(tmp_path / "data", tokens_file=str(tokens)) as process:
        with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
            await process.stub.ListAudit(pb.ListAuditRequest(), timeout=TIMEOUT_S)
        proof = (*token_metadata(alice), ("lepton-actor", "token:mallory"))
        await push(process.stub, onnx_package(tmp_path / "p"), metadata=proof)
        audit = await process.stub.ListAudit(pb.ListAuditRequest(), timeout=TIMEOUT_S, metadata=proof)
        (entry,) = audit.entries
        assert (entry.action, entry.actor.split()[0]) == ("push", "token:alice")
        delete_token(tokens, "alice")
        assert await _call(process.stub, "Undeploy", proof) == grpc.StatusCode.UNAUTHENTICATED


async def test_nobody_can_say_of_itself_that_it_has_a_token(tmp_path: Path) -> None:
    async with registry_process(tmp_path / "data") as process:
        await push(process.stub, onnx_package(tmp_path / "p"), metadata=(("lepton-actor", "token:alice"),))
        (entry,) = (await process.stub.ListAudit(pb.ListAuditRequest(), timeout=TIMEOUT_S)).entries
        assert entry.actor.split()[0] == "alice"


async def test_who_is_refused_is_told_where_the_token_is(stub: Any) -> None:
    with pytest.raises(Unauthenticated, match="LEPTON_TOKEN_FILE"):
        try:
            await stub.Undeploy(pb.UndeployRequest(model="absent"), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error


async def test_a_registry_that_other_machines_reach_does_not_start_without_a_token(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await start(log, environment(tmp_path / "data", host="0.0.0.0", etcd_address=NOBODY))  # noqa: S104
    async with asyncio.timeout(TIMEOUT_S):
        assert await process.wait() == 1
    assert "LEPTON_TOKEN" in log.read_text(encoding="utf-8")
