"""A prediction from request to response, with the model and the network faked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from lepton_ai import tensors
from lepton_ai.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    LeptonError,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from lepton_ai.mesh.errors import from_status
from lepton_ai.postprocessing import Postprocess
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.paths.path import Path
from tests.unit.inference.colours import (
    BLUE,
    COLOURS,
    GREEN,
    RED,
    colours_version,
    data_plane,
    image_tensor,
    item,
    mean_colour,
)

Request = inference_pb2.PredictRequest
Options = inference_pb2.PredictOptions
COLOURS_MODEL = common_pb2.ModelRef(name="colours")


def names(prediction: inference_pb2.Prediction) -> list[str]:
    return [label.name for label in prediction.classification.labels]


@pytest.fixture(params=list(Path))
def path(request: pytest.FixtureRequest) -> Path:
    """What holds for raw items holds wherever the pipeline runs."""
    chosen: Path = request.param
    return chosen


async def predict(request: Request, path: Path | None = None, **changes: Any) -> inference_pb2.PredictResponse:
    plane = await data_plane(path=path)
    return await plane.predict(request, plane.call(**changes))


async def test_a_photo_becomes_labels(path: Path) -> None:
    response = await predict(Request(model=COLOURS_MODEL, items=[item(RED)], request_id="mine"), path)
    (prediction,) = response.predictions
    assert names(prediction)[0] == COLOURS[0]
    assert len(prediction.classification.labels) == 2, "as many as the package says"
    assert 0.5 < prediction.classification.labels[0].score <= 1
    assert response.request_id == "mine"
    assert (response.model_name, response.model_version, response.model_alias) == ("colours", 2, "production")
    assert not response.tensors


async def test_every_item_has_a_prediction_id_made_from_that_of_the_call(path: Path) -> None:
    response = await predict(Request(model=COLOURS_MODEL, items=[item(RED, "a"), item(BLUE, "b")]), path)
    assert [each.item_id for each in response.predictions] == ["a", "b"]
    assert len(response.prediction_id) == 32
    assert [each.prediction_id for each in response.predictions] == [f"{response.prediction_id}-{n}" for n in (0, 1)]
    assert response.request_id


async def test_more_items_than_a_batch_holds_come_back_in_order(path: Path) -> None:
    photos = [RED, GREEN, BLUE] * 5
    response = await predict(Request(model=COLOURS_MODEL, items=[item(photo) for photo in photos]), path)
    assert [names(each)[0] for each in response.predictions] == list(COLOURS) * 5


async def test_a_bad_item_fails_alone_and_says_which_field(path: Path) -> None:
    response = await predict(Request(model=COLOURS_MODEL, items=[item(RED), item(b"not an image"), item(BLUE)]), path)
    good, bad, other = response.predictions
    assert (names(good)[0], names(other)[0]) == (COLOURS[0], COLOURS[2])
    error = from_status(bad.error)
    assert isinstance(error, InvalidInput)
    assert error.fields[0].field == "items[1].inputs.photo"


async def test_a_single_bad_item_fails_the_call(path: Path) -> None:
    with pytest.raises(InvalidInput):
        await predict(Request(model=COLOURS_MODEL, items=[item(b"not an image")]), path)


async def test_outputs_asked_for_hold_the_rows_of_the_good_items(path: Path) -> None:
    request = Request(
        model=COLOURS_MODEL, items=[item(RED), item(b"bad"), item(BLUE)], options=Options(outputs=["logits"], top_k=1)
    )
    response = await predict(request, path)
    (logits,) = response.tensors
    assert tensors.from_proto(logits).argmax(axis=1).tolist() == [0, 2]
    assert len(response.predictions[0].classification.labels) == 1


async def test_tensors_in_tensors_out() -> None:
    image = tensors.to_proto("image", image_tensor((9, 0, 0), (0, 0, 9)))
    response = await predict(Request(model=COLOURS_MODEL, tensors=[image]))
    (logits,) = response.tensors
    assert tensors.from_proto(logits).tolist() == [[9 / 16, 0, 0], [0, 0, 9 / 16]]
    assert not response.predictions


async def test_tensors_get_labels_when_they_ask_for_some() -> None:
    image = tensors.to_proto("image", image_tensor((9, 0, 0), (0, 0, 9)))
    response = await predict(Request(model=COLOURS_MODEL, tensors=[image], options=Options(top_k=1)))
    assert [names(each) for each in response.predictions] == [[COLOURS[0]], [COLOURS[2]]]
    assert response.predictions[1].prediction_id == f"{response.prediction_id}-1"
    assert response.tensors


async def test_more_rows_than_a_batch_holds_are_one_answer() -> None:
    image = tensors.to_proto("image", image_tensor(*([value, 0, 0] for value in range(11))))
    response = await predict(Request(model=COLOURS_MODEL, tensors=[image]))
    assert tensors.from_proto(response.tensors[0])[:, 0].tolist() == [value / 16 for value in range(11)]


async def test_without_postprocessing_raw_items_get_the_outputs(path: Path) -> None:
    plane = await data_plane(colours_version(labelled=False), path=path)
    response = await plane.predict(Request(model=COLOURS_MODEL, items=[item(RED)]), plane.call())
    assert [tensor.name for tensor in response.tensors] == ["logits"]
    assert response.predictions[0].WhichOneof("outcome") is None


async def test_timings_add_up(path: Path) -> None:
    response = await predict(Request(model=COLOURS_MODEL, items=[item(RED)]), path)
    timings = response.timings
    stages = timings.preprocess_us + timings.queue_us + timings.compute_us + timings.postprocess_us
    assert 0 < timings.preprocess_us < stages <= timings.total_us


@pytest.mark.parametrize(
    ("model", "kind", "reason"),
    [
        (common_pb2.ModelRef(name="absent"), NotFound, "MODEL_NOT_FOUND"),
        (common_pb2.ModelRef(name="colours", version=7), NotFound, "VERSION_NOT_FOUND"),
        (common_pb2.ModelRef(name="colours", alias="beta"), NotFound, "ALIAS_NOT_FOUND"),
        (common_pb2.ModelRef(name="colours", version=9), Unavailable, "MODEL_NOT_READY"),
        (common_pb2.ModelRef(), InvalidInput, "INVALID_ARGUMENT"),
    ],
)
async def test_a_model_that_is_not_there(model: common_pb2.ModelRef, kind: type[LeptonError], reason: str) -> None:
    with pytest.raises(kind) as error:
        await predict(Request(model=model, items=[item(RED)]))
    assert error.value.reason == reason


async def test_an_alias_leads_to_its_version() -> None:
    response = await predict(Request(model=common_pb2.ModelRef(name="colours", alias="canary"), items=[item(RED)]))
    assert (response.model_version, response.model_alias) == (1, "canary")
    response = await predict(Request(model=common_pb2.ModelRef(name="colours", version=1), items=[item(RED)]))
    assert (response.model_version, response.model_alias) == (1, "")


IMAGE = tensors.to_proto("image", image_tensor((1, 2, 3)))


@pytest.mark.parametrize(
    ("request_fields", "kind", "reason"),
    [
        ({}, InvalidInput, "NO_INPUT"),
        ({"items": [item(RED)], "tensors": [IMAGE]}, InvalidInput, "NO_INPUT"),
        ({"items": [item(RED)] * 65}, ResourceExhausted, "TOO_MANY_ITEMS"),
        ({"items": [item(RED)], "options": Options(outputs=["nope"])}, InvalidInput, "UNKNOWN_OUTPUT"),
        ({"items": [item(RED)], "options": Options(top_k=5000)}, InvalidInput, "TOP_K_TOO_LARGE"),
        ({"tensors": [tensors.to_proto("picture", image_tensor((1, 2, 3)))]}, InvalidInput, "WRONG_INPUTS"),
        ({"tensors": [IMAGE, IMAGE]}, InvalidInput, "WRONG_INPUTS"),
        ({"tensors": [tensors.to_proto("image", np.zeros((1, 8, 8, 3)))]}, InvalidInput, "DTYPE_MISMATCH"),
        ({"tensors": [tensors.to_proto("image", np.zeros((1, 9, 8, 3), np.uint8))]}, InvalidInput, "SHAPE_MISMATCH"),
        ({"tensors": [tensors.to_proto("image", np.zeros((8, 8, 3), np.uint8))]}, InvalidInput, "SHAPE_MISMATCH"),
        ({"tensors": [tensors.to_proto("image", np.zeros((0, 8, 8, 3), np.uint8))]}, InvalidInput, "EMPTY_BATCH"),
        (
            {
                "tensors": [
                    common_pb2.Tensor(name="image", dtype=common_pb2.DATA_TYPE_UINT8, shape=[1, 8, 8, 3], data=b"short")
                ]
            },
            InvalidInput,
            "CONTENT_LENGTH",
        ),
        (
            {
                "tensors": [
                    common_pb2.Tensor(name="image", dtype=common_pb2.DATA_TYPE_UINT8, shape=[1, -8, -8, 3], data=b"")
                ]
            },
            InvalidInput,
            "SHAPE_MISMATCH",
        ),
        (
            {
                "tensors": [
                    common_pb2.Tensor(
                        name="image", dtype=common_pb2.DATA_TYPE_UINT8, shared_memory=common_pb2.SharedMemoryRegion()
                    )
                ]
            },
            FailedPrecondition,
            "SHARED_MEMORY_UNAVAILABLE",
        ),
    ],
)
async def test_bad_requests_say_what_is_wrong(
    request_fields: dict[str, Any], kind: type[LeptonError], reason: str
) -> None:
    with pytest.raises(kind) as error:
        await predict(Request(model=COLOURS_MODEL, **request_fields))
    assert error.value.reason == reason


async def test_raw_items_need_a_pipeline() -> None:
    loaded = colours_version()
    loaded.pipeline_proto = None
    plane = await data_plane(loaded)
    with pytest.raises(InvalidInput) as error:
        await plane.predict(Request(model=COLOURS_MODEL, items=[item(RED)]), plane.call())
    assert error.value.reason == "NO_PIPELINE"


async def test_the_deadline_bounds_the_whole_call(path: Path) -> None:
    plane = await data_plane(path=path)
    plane.triton.compute_s = 30.0
    with pytest.raises(DeadlineExceeded):
        await plane.predict(Request(model=COLOURS_MODEL, items=[item(RED)]), plane.call(timeout_s=0.05))


async def test_a_version_in_use_is_held_until_its_call_ends() -> None:
    loaded = colours_version()
    plane = await data_plane(loaded)
    plane.triton.compute_s = 0.05
    call = asyncio.ensure_future(plane.predict(Request(model=COLOURS_MODEL, tensors=[IMAGE]), plane.call()))
    await asyncio.sleep(0)
    idle = asyncio.ensure_future(loaded.idle())
    await asyncio.wait((call, idle), return_when=asyncio.FIRST_COMPLETED)
    assert call.done() or not idle.done()
    await asyncio.gather(call, idle)


async def test_one_version_can_be_asked_though_nothing_is_routed_to_it(path: Path) -> None:
    plane = await data_plane(path=path)
    fresh = colours_version(version=5)
    await plane.triton.load(fresh.triton_name)
    response = await plane.predict(Request(model=COLOURS_MODEL, items=[item(RED)]), plane.call(), loaded=fresh)
    assert response.model_version == 5


def not_a_number(name: str, inputs: Mapping[str, tensors.Array]) -> Mapping[str, tensors.Array]:
    """The model of colours, to which red is not a number."""
    scores = np.array(mean_colour(name, inputs)["logits"])
    return {"logits": np.where(scores.argmax(axis=1, keepdims=True) == 0, np.nan, scores)}


async def test_scores_that_are_no_numbers_are_the_error_of_their_item_alone(path: Path) -> None:
    plane = await data_plane(path=path)
    plane.triton.compute = not_a_number
    request = Request(
        model=COLOURS_MODEL, items=[item(GREEN), item(RED), item(BLUE)], options=Options(outputs=["logits"])
    )
    good, bad, other = (response := await plane.predict(request, plane.call())).predictions
    assert (names(good)[0], names(other)[0]) == (COLOURS[1], COLOURS[2])
    error = from_status(bad.error)
    assert (type(error), error.reason) == (FailedPrecondition, "NOT_A_NUMBER")
    assert tensors.from_proto(response.tensors[0]).argmax(axis=1).tolist() == [1, 2], "rows of the good ones"


async def test_a_single_item_whose_scores_are_no_numbers_fails_the_call(path: Path) -> None:
    plane = await data_plane(path=path)
    plane.triton.compute = not_a_number
    with pytest.raises(FailedPrecondition, match="not all numbers"):
        await plane.predict(Request(model=COLOURS_MODEL, items=[item(RED)]), plane.call())


async def test_a_package_may_have_an_anomaly_instead(path: Path) -> None:
    version = colours_version()
    version.postprocess = Postprocess.load([{"op": "classify", "not_a_number": "anomaly"}])
    plane = await data_plane(version, path=path)
    plane.triton.compute = not_a_number
    response = await plane.predict(Request(model=COLOURS_MODEL, items=[item(RED), item(BLUE)]), plane.call())
    odd, good = response.predictions
    assert [(each.input, each.reason) for each in odd.anomalies] == [("", "NOT_A_NUMBER")]
    assert odd.WhichOneof("outcome") == "classification"
    assert not names(odd)
    assert not good.anomalies


async def test_a_model_without_labels_says_which_items_have_no_numbers(path: Path) -> None:
    version = colours_version()
    version.postprocess = None
    plane = await data_plane(version, path=path)
    plane.triton.compute = not_a_number
    response = await plane.predict(Request(model=COLOURS_MODEL, items=[item(RED), item(BLUE)]), plane.call())
    assert [[each.reason for each in row.anomalies] for row in response.predictions] == [["NOT_A_NUMBER"], []]
    assert np.isnan(tensors.from_proto(response.tensors[0])).all(axis=1).tolist() == [True, False]


async def test_tensors_hold_what_is_not_a_number_as_it_is() -> None:
    plane = await data_plane()
    plane.triton.compute = not_a_number
    image = tensors.to_proto("image", image_tensor((9, 0, 0), (0, 0, 9)))
    response = await plane.predict(Request(model=COLOURS_MODEL, tensors=[image]), plane.call())
    assert np.isnan(tensors.from_proto(response.tensors[0])).all(axis=1).tolist() == [True, False]


async def test_labels_of_tensors_fail_row_by_row_too() -> None:
    plane = await data_plane()
    plane.triton.compute = not_a_number
    image = tensors.to_proto("image", image_tensor((9, 0, 0), (0, 0, 9)))
    response = await plane.predict(
        Request(model=COLOURS_MODEL, tensors=[image], options=Options(top_k=1)), plane.call()
    )
    bad, good = response.predictions
    assert from_status(bad.error).reason == "NOT_A_NUMBER"
    assert names(good) == [COLOURS[2]]
    assert len(tensors.from_proto(response.tensors[0])) == 2, "tensors hold all rows"
