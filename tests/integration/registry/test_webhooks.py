"""A registry tells what happens, whoever kills it in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from lepton_ai.v1 import registry_pb2 as pb
from tests.integration.registry.process import registry_process
from tests.integration.registry.served import TIMEOUT_S, push
from tests.receiver import Receiver, receiving
from tests.sample_packages import onnx_package


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def test_a_registry_killed_before_it_could_tell_tells_after_its_start(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [-1]  # the first attempts hang
    async with registry_process(tmp_path / "data") as process:
        request = pb.CreateWebhookRequest(url=receiver.url)
        secret = (await process.stub.CreateWebhook(request, timeout=TIMEOUT_S)).secret
        await push(process.stub, onnx_package(tmp_path / "p"))
        alias = pb.SetAliasRequest(model="doubler", alias="staging", version=1)
        await process.stub.SetAlias(alias, timeout=TIMEOUT_S)
        await receiver.until(1)
        await process.kill()
        assert secret not in process.log.read_text(encoding="utf-8")
    receiver.answers, begun = [200], len(receiver.received)
    async with registry_process(tmp_path / "data") as process:
        arrived = (await receiver.until(begun + 3))[begun:]
        assert sorted(each.event for each in arrived) == [
            "model_version.created",
            "model_version_alias.created",
            "registered_model.created",
        ]
        assert all(each.is_signed_with(secret) for each in arrived)
        ids = {each.event: each.headers["x-mlflow-delivery-id"] for each in receiver.received}
        first = receiver.received[0]
        assert ids[first.event] == first.headers["x-mlflow-delivery-id"]
        (webhook,) = (await process.stub.ListWebhooks(pb.ListWebhooksRequest(), timeout=TIMEOUT_S)).webhooks
        assert secret not in str(webhook)


async def test_a_registry_that_others_reach_calls_nobody_on_its_own_machine(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken")
    settings = {"host": "0.0.0.0", "token_file": str(tmp_path / "token")}  # noqa: S104 - that is what is tested
    async with registry_process(tmp_path / "data", **settings) as process:
        proof = (("authorization", "Bearer t0ken"),)
        for url in (receiver.url, f"https://localhost:{receiver.port}/"):
            request = pb.CreateWebhookRequest(url=url)
            try:
                created = await process.stub.CreateWebhook(request, timeout=TIMEOUT_S, metadata=proof)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                continue
            test = pb.TestWebhookRequest(id=created.webhook.id)
            answer = await process.stub.TestWebhook(test, timeout=TIMEOUT_S, metadata=proof)
            assert "private network" in answer.error
    assert receiver.received == []
