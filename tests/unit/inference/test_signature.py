"""Tensors must be exactly what the model declares; errors name the tensor and what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import encode_bytes
from services.inference.rows import NamedTensor
from services.inference.signature import Signature
from tests.unit.inference.parts import Described, Description, named

SIGNATURE = Signature(
    Description(
        inputs=(
            Described("image", "FP32", (-1, 2, -1)),
            Described("words", "BYTES", (-1, 2)),
        ),
        outputs=(Described("y", "FP32", (-1,)),),
    )
)
IMAGE = named("image", np.zeros((2, 2, 5), np.float32))
WORDS = NamedTensor("words", "BYTES", (2, 2), encode_bytes(["a", "b", "c", "d"]))


def test_tensors_come_out_in_declared_order_untouched() -> None:
    rows = SIGNATURE.check([WORDS, IMAGE])
    assert rows.count == 2
    assert rows.tensors == (IMAGE, WORDS)


@pytest.mark.parametrize(
    ("tensors", "field", "reason"),
    [
        ([IMAGE], "tensors", "WRONG_INPUTS"),
        ([IMAGE, WORDS, IMAGE], "tensors", "WRONG_INPUTS"),
        ([IMAGE, WORDS, named("more", np.zeros(2))], "tensors", "WRONG_INPUTS"),
        ([named("image", np.zeros((2, 2, 5))), WORDS], "tensors[image]", "DTYPE_MISMATCH"),
        ([named("image", np.zeros((2, 3, 5), np.float32)), WORDS], "tensors[image]", "SHAPE_MISMATCH"),
        ([named("image", np.zeros((2, 2), np.float32)), WORDS], "tensors[image]", "SHAPE_MISMATCH"),
        ([named("image", np.zeros((3, 2, 5), np.float32)), WORDS], "tensors[words]", "SHAPE_MISMATCH"),
        ([NamedTensor("image", "FP32", (2, 2, -5), bytes(80)), WORDS], "tensors[image]", "SHAPE_MISMATCH"),
        ([NamedTensor("image", "FP32", (2, 2, 5), bytes(79)), WORDS], "tensors[image]", "CONTENT_LENGTH"),
        ([NamedTensor("image", "FP32", (2, 2, 1 << 60), bytes(79)), WORDS], "tensors[image]", "INVALID_ARGUMENT"),
        ([IMAGE, NamedTensor("words", "BYTES", (2, 2), b"xx")], "tensors[words]", "INVALID_ARGUMENT"),
    ],
)
def test_what_does_not_fit_is_named(tensors: list[NamedTensor], field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        SIGNATURE.check(tensors)
    assert (error.value.fields[0].field, error.value.reason) == (field, reason)


def test_unknown_outputs_are_named_with_those_that_there_are() -> None:
    SIGNATURE.check_outputs(["y", "labels"], also=("labels",))
    with pytest.raises(InvalidInput) as error:
        SIGNATURE.check_outputs(["z"])
    assert "y" in error.value.fix
