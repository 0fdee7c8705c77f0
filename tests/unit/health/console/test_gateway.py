"""RPCs as JSON: which there are, what they carry, how they fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lepton_ai.errors import InvalidInput, NotFound, Unavailable
from lepton_ai.v1 import registry_pb2
from services.health.console.gateway import ACTIONS, READS, Gateway, OwnPort


class Recorder:
    """A service that answers every call with an empty message and remembers it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any]] = []
        self.idempotent: list[bool] = []

    async def call(
        self, invoke: Callable[[Any, float], Awaitable[Any]], *, timeout_s: float, idempotent: bool = True
    ) -> Any:
        self.idempotent.append(idempotent)
        return await invoke(self, timeout_s)

    def unary_unary(self, path: str, *, request_serializer: Any, response_deserializer: Any) -> Any:
        async def call(message: Any, *, timeout: float, metadata: Any) -> Any:
            self.calls.append((path, message, metadata))
            return response_deserializer(b"")

        return call


@pytest.fixture
def own() -> Recorder:
    return Recorder()


@pytest.fixture
def registry() -> Recorder:
    return Recorder()


@pytest.fixture
def gateway(own: Recorder, registry: Recorder) -> Gateway:
    return Gateway(own, registry, timeout_s=1.0)


async def test_a_question_becomes_a_call_and_its_answer_json(gateway: Gateway, registry: Recorder) -> None:
    answer = await gateway.read("RegistryService", "ListRollouts", {"model": "digits", "limit": 5})
    assert answer == {"rollouts": []}
    path, message, metadata = registry.calls[0]
    assert path == "/lepton.v1.RegistryService/ListRollouts"
    assert message == registry_pb2.ListRolloutsRequest(model="digits", limit=5)
    assert metadata == ()


@pytest.mark.parametrize(("service", "method"), [(service, each) for service in READS for each in READS[service]])
async def test_every_question_goes_to_who_knows(
    gateway: Gateway, own: Recorder, registry: Recorder, service: str, method: str
) -> None:
    await gateway.read(service, method, {})
    asked, other = (registry, own) if service == "RegistryService" else (own, registry)
    assert [path for path, _, _ in asked.calls] == [f"/lepton.v1.{service}/{method}"]
    assert other.calls == []


async def test_an_action_carries_the_token_and_is_not_repeated(gateway: Gateway, registry: Recorder) -> None:
    request = {"model": "digits", "action": "ROLLOUT_ACTION_ABORT"}
    await gateway.act("RegistryService", "ControlRollout", request, token="secret")
    _, message, metadata = registry.calls[0]
    assert message.action == registry_pb2.ROLLOUT_ACTION_ABORT
    assert metadata == (("authorization", "Bearer secret"),)
    assert registry.idempotent == [False]


@pytest.mark.parametrize(("service", "method"), [(service, each) for service in ACTIONS for each in ACTIONS[service]])
async def test_an_action_cannot_be_asked_as_a_question(gateway: Gateway, service: str, method: str) -> None:
    with pytest.raises(NotFound):
        await gateway.read(service, method, {})


@pytest.mark.parametrize(
    ("service", "method"),
    [("RegistryService", "Undeploy"), ("RegistryService", "DeleteVersion"), ("HealthService", "x"), ("../", "..")],
)
async def test_nothing_else_can_be_called(gateway: Gateway, service: str, method: str) -> None:
    with pytest.raises(NotFound):
        await gateway.act(service, method, {}, token="secret")


async def test_a_request_of_another_shape_is_refused(gateway: Gateway) -> None:
    with pytest.raises(InvalidInput, match="ListRolloutsRequest"):
        await gateway.read("RegistryService", "ListRollouts", {"limit": "many"})


async def test_a_service_that_is_starting_says_so() -> None:
    port = OwnPort(lambda: "", max_message_bytes=1 << 20)
    with pytest.raises(Unavailable):
        await port.call(lambda channel, timeout_s: None, timeout_s=1.0)


def test_what_only_reads_and_what_changes_are_told_apart() -> None:
    assert not {(service, each) for service in READS for each in READS[service]} & {
        (service, each) for service in ACTIONS for each in ACTIONS[service]
    }
