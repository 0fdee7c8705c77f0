"""Preprocess and ListOperations over a real connection."""

from __future__ import annotations

import json

import grpc
import pytest

from lepton_ai import tensors
from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.mesh.errors import from_rpc_error, from_status
from lepton_ai.pipeline import Pipeline
from lepton_ai.v1 import common_pb2, preprocess_pb2
from tests.integration.preprocess.serving import preprocess_service

ROWS = Pipeline.load(
    {
        "inputs": {"age": "number", "city": "category"},
        "steps": [
            {"op": "impute", "on": ["age"], "value": 40},
            {"op": "one_hot", "on": ["city"], "categories": ["上海", "北京"]},
            {"op": "concat", "on": ["age", "city"], "output": "row"},
        ],
    }
)


def row(*, city: str, age: float | None = None) -> common_pb2.Item:
    inputs = {"city": common_pb2.Value(text=city)}
    if age is not None:
        inputs["age"] = common_pb2.Value(number=age)
    return common_pb2.Item(inputs=inputs)


async def test_a_batch_is_answered_in_order_with_anomalies_and_errors_of_single_items() -> None:
    async with preprocess_service() as served:
        items = [row(age=30, city="北京"), row(city="上海"), common_pb2.Item(), row(age=1, city="Paris")]
        answer = await served.stub.Preprocess(
            preprocess_pb2.PreprocessRequest(pipeline=ROWS.to_proto(), items=items), timeout=5
        )

    values = [
        tensors.from_proto(result.tensors.tensors[0]).tolist() if result.HasField("tensors") else None
        for result in answer.results
    ]
    assert values == [[30, 0, 1], [40, 1, 0], None, [1, 0, 0]]
    reasons = [[anomaly.reason for anomaly in result.anomalies] for result in answer.results]
    assert reasons == [[], ["MISSING_VALUE"], [], ["UNKNOWN_CATEGORY"]]
    assert answer.results[1].anomalies[0].message == "age: was missing, filled with 40"
    assert from_status(answer.results[2].error).fields[0].field == "inputs.city"


async def test_an_invalid_pipeline_fails_the_call_with_its_path() -> None:
    pipeline = preprocess_pb2.Pipeline(document_json='{"inputs":{"photo":"image"},"steps":[{"op":"resize","size":0}]}')
    async with preprocess_service() as served:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await served.stub.Preprocess(preprocess_pb2.PreprocessRequest(pipeline=pipeline), timeout=5)

    error = from_rpc_error(raised.value)
    assert isinstance(error, InvalidInput)
    assert error.fields[0].field.startswith("steps[0].size")


async def test_a_batch_over_the_limit_fails_the_call() -> None:
    async with preprocess_service(max_batch_items=2) as served:
        request = preprocess_pb2.PreprocessRequest(pipeline=ROWS.to_proto(), items=[row(city="上海")] * 3)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await served.stub.Preprocess(request, timeout=5)

    assert isinstance(from_rpc_error(raised.value), ResourceExhausted)


async def test_operations_are_listed_with_schemas_of_their_parameters() -> None:
    async with preprocess_service() as served:
        answer = await served.stub.ListOperations(preprocess_pb2.ListOperationsRequest(), timeout=5)

    by_name = {operation.name: operation for operation in answer.operations}
    assert {"decode_image", "resize", "tokenize", "one_hot"} <= set(by_name)
    assert "JPEG" in by_name["decode_image"].description
    assert json.loads(by_name["resize"].parameters_schema_json)["properties"]["filter"]["default"] == "bilinear"
