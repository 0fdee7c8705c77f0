"""A call for a version that a replica does not serve and another one does: handed on, once, and the answer says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai import Addresses, AsyncClient
from lepton_ai.errors import LeptonError, NotFound, Unavailable
from lepton_ai.local.programs.etcd import running_etcd
from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.records import Endpoint, encode_serving_state, serving_key
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.retry import REPEAT_KEY, RETRY
from lepton_ai.mesh.serving.tenant import TENANT
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.mesh.tracing.context import TRACEPARENT
from lepton_ai.tensors import from_proto, to_proto
from lepton_ai.testing import captured_spans, eventually
from lepton_ai.v1 import common_pb2, health_pb2, inference_pb2
from lepton_ai.v1.inference_pb2_grpc import (
    InferenceServiceStub,
)
from services.inference.api.servicer import SERVICE_NAME
from services.inference.forwarding.forwarder import FORWARDED_KEY
from tests.replica import FakeRegistry
from tests.sample_packages import onnx_package
from tests.served_replica import served_replica
from tests.unit.inference.parts import NO_TRACING

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
ANSWER = ROWS * 2 + 1
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = ((TRACEPARENT, f"00-{TRACE_ID}-b7ad6b7169203331-01"),)


@dataclass(frozen=True)
class Pair:
    """A replica that serves the model, and one that cannot fetch it."""

    store: EtcdStore
    able: str
    lacking: str
    channel: grpc.aio.Channel
    """To the one that lacks it."""

    @property
    def predict(self) -> Any:
        return InferenceServiceStub(self.channel).Predict

    async def failure(self, call: Any) -> LeptonError:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call
        return from_rpc_error(failure.value)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pair")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(directory: Path) -> AsyncIterator[EtcdStore]:
    async with running_etcd(directory / "etcd") as etcd:
        store = EtcdStore(etcd.address)
        yield store
        await store.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(store: EtcdStore, directory: Path) -> AsyncIterator[Pair]:
    async with running_pair(store, directory) as pair:
        yield pair


@asynccontextmanager
async def running_pair(store: EtcdStore, directory: Path, *, tracing: Tracing = NO_TRACING) -> AsyncIterator[Pair]:
    registry = FakeRegistry(store)
    registry.push(onnx_package(directory / "package"))
    await registry.deploy("doubler", 1)
    async with (
        served_replica(store, directory / "able", registry, tracing=tracing) as able,
        served_replica(store, directory / "lacking", FakeRegistry(store, up=False), tracing=tracing) as lacking,
        grpc.aio.insecure_channel(lacking) as channel,
    ):
        yield Pair(store, able, lacking, channel)


def request(model: str = "doubler", **named: Any) -> inference_pb2.PredictRequest:
    reference = common_pb2.ModelRef(name=model, **named)
    return inference_pb2.PredictRequest(model=reference, tensors=[to_proto("x", ROWS)], request_id="r")


def open_inference_request(version: str = "") -> Any:
    made = service_pb2.ModelInferRequest(model_name="doubler", model_version=version, id="r")
    made.inputs.add(name="x", datatype="FP32", shape=ROWS.shape)
    made.raw_input_contents.append(ROWS.tobytes())
    return made


@pytest.mark.parametrize("named", [{}, {"version": 1}, {"alias": "production"}])
async def test_predict_is_answered_by_the_replica_that_serves_the_version(pair: Pair, named: dict[str, Any]) -> None:
    call = pair.predict(request(**named), timeout=5)
    answer = await call
    np.testing.assert_array_equal(from_proto(answer.tensors[0]), ANSWER)
    assert answer.request_id == "r"
    assert dict(await call.trailing_metadata())[FORWARDED_KEY] == pair.able


async def test_a_call_that_its_replica_serves_says_nothing_of_it(pair: Pair) -> None:
    async with grpc.aio.insecure_channel(pair.able) as channel:
        call = InferenceServiceStub(channel).Predict(request(), timeout=5)
        await call
        assert FORWARDED_KEY not in dict(await call.trailing_metadata())


@pytest.mark.parametrize("version", ["", "1", "production"])
async def test_model_infer_is_answered_likewise(pair: Pair, version: str) -> None:
    call = service_pb2_grpc.GRPCInferenceServiceStub(pair.channel).ModelInfer(
        open_inference_request(version), timeout=5
    )
    answer = await call
    assert answer.raw_output_contents[0] == ANSWER.tobytes()
    assert (answer.id, answer.model_version) == ("r", "1")
    assert dict(await call.trailing_metadata())[FORWARDED_KEY] == pair.able


async def test_requests_of_streams_are_answered_likewise(pair: Pair) -> None:
    async def messages() -> AsyncIterator[inference_pb2.PredictStreamRequest]:
        yield inference_pb2.PredictStreamRequest(request=request())

    async def open_inference_messages() -> AsyncIterator[Any]:
        yield open_inference_request()

    answers = [each async for each in InferenceServiceStub(pair.channel).PredictStream(messages(), timeout=5)]
    (answer,) = answers
    np.testing.assert_array_equal(from_proto(answer.response.tensors[0]), ANSWER)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(pair.channel)
    (other,) = [each async for each in stub.ModelStreamInfer(open_inference_messages(), timeout=5)]
    assert other.infer_response.raw_output_contents[0] == ANSWER.tobytes(), other.error_message
    assert other.infer_response.parameters["triton_final_response"].bool_param


async def test_the_sdk_learns_what_a_model_takes_likewise(pair: Pair) -> None:
    async with AsyncClient(Addresses(inference=pair.lacking)) as client:
        await client.describe("doubler")
        np.testing.assert_array_equal((await client.infer("doubler", {"x": ROWS})).tensors["y"], ANSWER)


async def test_what_was_handed_on_is_not_handed_on_again(pair: Pair) -> None:
    error = await pair.failure(pair.predict(request(), timeout=5, metadata=((FORWARDED_KEY, "1"),)))
    assert (type(error), error.reason) == (Unavailable, "MODEL_NOT_READY")


async def test_what_no_replica_serves_fails_as_ever(pair: Pair) -> None:
    error = await pair.failure(pair.predict(request("stranger"), timeout=5))
    assert (type(error), error.reason) == (NotFound, "MODEL_NOT_FOUND")


async def test_wrong_input_is_refused_by_the_other_replica_as_it_would_be_here(pair: Pair) -> None:
    wrong = request()
    wrong.tensors[0].name = "stranger"
    error = await pair.failure(pair.predict(wrong, timeout=5))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_one_trace_shows_both_replicas(tmp_path: Path) -> None:
    with captured_spans("inference", ratio=0.0) as captured:
        async with running_etcd(tmp_path / "etcd") as etcd:
            store = EtcdStore(etcd.address)
            async with running_pair(store, tmp_path, tracing=captured.tracing) as pair:
                await pair.predict(request(), timeout=5, metadata=SAMPLED)
            await store.close()
        spans = captured.named("lepton.v1.InferenceService/Predict")
    (here,) = (span for span in spans if "lepton.forwarded" in span.attributes)
    assert here.attributes["lepton.forwarded"] == pair.able
    assert [span.kind.name for span in spans] == ["SERVER", "CLIENT", "SERVER"]
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE_ID}


class Peer:
    """A replica that notes what it is sent, and answers or fails as it is told."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.left_s = 0.0
        self.error: grpc.StatusCode | None = None

    async def predict(self, request: inference_pb2.PredictRequest, context: Any) -> inference_pb2.PredictResponse:
        self.metadata, self.left_s = dict(context.invocation_metadata()), context.time_remaining()
        if self.error is not None:
            await context.abort(self.error, "told to")
        return inference_pb2.PredictResponse(model_name="elsewhere")


@asynccontextmanager
async def published(store: EtcdStore, address: str) -> AsyncIterator[None]:
    """A replica at this address that says it serves a model."""
    status = health_pb2.VersionStatus(
        model="elsewhere", version=1, state=health_pb2.VERSION_STATE_SERVING, aliases=["production"]
    )
    state = health_pb2.ServingState(replica=address, versions=[status])
    publications = [
        await register(store, Endpoint("inference", address)),
        await store.publish(serving_key(address), encode_serving_state(state)),
    ]
    try:
        yield
    finally:
        await asyncio.gather(*(publication.withdraw() for publication in publications))


@pytest_asyncio.fixture(loop_scope="module")
async def peer(pair: Pair) -> AsyncIterator[Peer]:
    peer, server = Peer(), grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        peer.predict,
        request_deserializer=inference_pb2.PredictRequest.FromString,
        response_serializer=inference_pb2.PredictResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE_NAME, {"Predict": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with published(pair.store, f"127.0.0.1:{port}"):
        await eventually(
            lambda: pair.predict(request("elsewhere"), timeout=5), timeout_s=10, description="the peer is known"
        )
        yield peer
    await server.stop(0)


async def test_deadline_tenant_and_that_it_is_a_repeat_go_with_it(pair: Pair, peer: Peer) -> None:
    notes = ((TENANT, "a"), (REPEAT_KEY, RETRY))
    await pair.predict(request("elsewhere"), timeout=3, metadata=notes)
    assert peer.metadata[FORWARDED_KEY]
    assert (peer.metadata[TENANT], peer.metadata[REPEAT_KEY]) == ("a", RETRY)
    assert 0 < peer.left_s < 3.1  # gRPC rounds up
    await pair.predict(request("elsewhere"), timeout=3)
    assert not {TENANT, REPEAT_KEY} & peer.metadata.keys()


async def test_a_peer_that_is_gone_does_not_make_this_replica_look_gone(pair: Pair, peer: Peer) -> None:
    peer.error = grpc.StatusCode.UNAVAILABLE
    error = await pair.failure(pair.predict(request("elsewhere"), timeout=5))
    assert (type(error), error.reason) == (Unavailable, "FORWARD_FAILED")
    assert error.retry_after_s
