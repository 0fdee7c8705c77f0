"""What a response holds: answers, outputs where they are the answer, each item's own where these differ in shape."""

from __future__ import annotations

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.tracing.context import EMPTY
from lepton_ai.postprocessing import Postprocess
from lepton_ai.prediction import to_answer
from lepton_ai.v1 import common_pb2
from lepton_ai.v1.inference_pb2 import DescribeModelResponse, PredictRequest
from services.inference.api.responses import write_description, write_response
from services.inference.call import Call
from services.inference.predict.result import InferenceResult, Outcome
from services.inference.routing.routes import Resolved
from services.inference.rows import NamedTensor, Rows
from services.inference.version import LoadedVersion
from tests.unit.inference.colours import BLUE, RED, colours_version, data_plane, item

COLOURS_MODEL = common_pb2.ModelRef(name="colours")
ITEMS = PredictRequest(items=[common_pb2.Item()] * 3)


def version_with(*steps: dict[str, object]) -> LoadedVersion:
    loaded = colours_version(labelled=False)
    loaded.postprocess = Postprocess.load(steps)
    return loaded


def row(*shape: int) -> Rows:
    size = 1
    for dimension in shape:
        size *= dimension
    return Rows(1, (NamedTensor("found", "UINT8", (1, *shape), bytes(range(size))),))


async def test_numbers_come_with_names_and_with_the_outputs() -> None:
    loaded = version_with({"op": "numbers", "names": ["r", "g", "b"], "units": ["%", "%", "%"]})
    plane = await data_plane(loaded)
    response = await plane.predict(
        PredictRequest(model=COLOURS_MODEL, items=[item(RED), item(BLUE)]), plane.call(), loaded=loaded
    )
    red, blue = to_answer(response).predictions
    assert [(number.name, number.unit) for number in red.numbers] == [("r", "%"), ("g", "%"), ("b", "%")]
    assert red.outputs["logits"].tolist() == red.values.tolist() == [220 / 16, 0, 0]
    assert blue.values.tolist() == [0, 0, 220 / 16]


async def test_a_description_says_what_is_answered() -> None:
    loaded = version_with({"op": "embedding"})
    plane = await data_plane(loaded)
    described: DescribeModelResponse = write_description(plane.runtimes.of(loaded))
    assert (described.answer_kind, described.answer_description) == ("embedding", "a vector")
    plain = write_description(plane.runtimes.of(colours_version(labelled=False)))
    assert (plain.answer_kind, plain.answer_description) == ("", "")


def test_items_whose_outputs_differ_in_shape_have_their_own() -> None:
    failed = Outcome(error=InvalidInput("no photo"))
    outcomes = [Outcome(row(2, 3)), failed, Outcome(row(4, 3))]
    result = InferenceResult(Resolved(colours_version(labelled=False), ""), outcomes)
    response = write_response(ITEMS, result, Call.arrive(timeout_s=5, context=EMPTY))
    first, second, third = to_answer(response).predictions
    assert (first.values.shape, third.values.shape) == ((2, 3), (4, 3))
    assert (second.error is not None, second.outputs) == (True, {})
    assert first.values[1].tolist() == [3, 4, 5]
