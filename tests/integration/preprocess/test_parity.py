"""What training sees is what serving sees: the library and a preprocess service give the same bytes for any input."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import numpy as np
import pytest

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import from_status
from lepton_ai.pipeline import Pipeline, RawValue, raw_inputs
from lepton_ai.pipeline.fitting import fit
from lepton_ai.prediction import to_item
from lepton_ai.tensors import from_proto
from lepton_ai.v1 import common_pb2, preprocess_pb2
from lepton_ai.v1.preprocess_pb2_grpc import PreprocessServiceStub
from tests.service_process import service_process
from tests.unit.pipeline.images import encoded as encoded_image
from tests.unit.pipeline.images import gradient
from tests.unit.pipeline.sounds import encoded as encoded_sound

COUNT = 1000
BATCH = 100
LEARNED_FROM = 50

Random = np.random.Generator
Inputs = dict[str, Any]

IMAGE = {
    "inputs": {"照片": "image"},
    "steps": [
        {"op": "decode_image"},
        {"op": "resize", "size": 48, "filter": "bicubic"},
        {"op": "center_crop", "size": [40, 40]},
        {"op": "normalize", "scale": 1 / 255, "fit": {}},
        {"op": "to_tensor", "output": "image", "layout": "CHW"},
    ],
}
SOUND = {
    "inputs": {"声音": "sound"},
    "steps": [
        {"op": "decode_sound"},
        {"op": "resample", "rate": 16_000},
        {"op": "trim_silence"},
        {"op": "fit_length", "seconds": 0.4, "align": "center"},
        {"op": "log_mel", "mels": 40},
        {"op": "normalize", "output": "mel", "fit": {}},
    ],
}
TEXT = {
    "inputs": {"评论": "text"},
    "steps": [
        {"op": "normalize_text", "form": "NFKC", "lower": True, "output": "clean"},
        {"op": "tokenize", "input": "clean", "vocabulary": "词.txt", "level": "jieba", "output": "words",
         "mask": "mask", "max_length": 24, "fit": {}},
        {"op": "tokenize", "input": "clean", "vocabulary": "pieces.txt", "level": "subword", "output": "pieces",
         "max_length": 48, "start": "[CLS]", "end": "[SEP]", "fit": {"min_count": 1, "max_tokens": 300}},
    ],
}  # fmt: skip
TABLE = {
    "inputs": {"年龄": "number", "income": "number", "city": "category", "vip": "category"},
    "steps": [
        {"op": "impute", "on": ["年龄", "income"], "fit": {"method": "median"}},
        {"op": "impute", "on": ["city", "vip"], "fit": {"method": "most_frequent"}},
        {"op": "clip", "on": ["年龄"], "min": 0, "max": 120},
        {"op": "scale", "on": ["年龄"], "fit": {"method": "standard"}},
        {"op": "scale", "on": ["income"], "fit": {"method": "range"}},
        {"op": "one_hot", "on": ["city", "vip"], "fit": {}},
        {"op": "concat", "on": ["年龄", "income", "city", "vip"], "output": "row"},
    ],
}
_WORDS = (
    *("质量", "很好", "不", "推荐", "快递", "物流", "手机", "屏幕", "清华大学", "非常满意", "。", "2024年", "！"),
    *("the ", "battery ", "lasts", ", ", "ＡＢＣ", "😀", "\u202e", "e\u0301", "\n"),
)


def some_image(random: Random) -> Inputs:
    file_format = str(random.choice(["PNG", "JPEG", "WEBP"]))
    image = gradient(int(random.integers(8, 90)), int(random.integers(8, 90)), str(random.choice(["RGB", "L"])))
    return {"照片": encoded_image(image, file_format)}


def some_sound(random: Random) -> Inputs:
    file_format = str(random.choice(["WAV", "FLAC", "OGG", "MP3"]))
    rate_hz = int(random.choice([8_000, 16_000, 22_050, 44_100]))
    shape = (int(random.uniform(0.05, 0.6) * rate_hz), int(random.integers(1, 3)))
    samples = random.normal(0, 0.2, shape) * np.linspace(0, 1, shape[0])[:, np.newaxis] ** 4
    return {"声音": encoded_sound(samples.clip(-1, 1), file_format, rate_hz=rate_hz)}


def some_text(random: Random) -> Inputs:
    text = "".join(random.choice(_WORDS, size=int(random.integers(0, 30))))
    strange = "".join(chr(code) for code in random.integers(1, 0xD7FF, size=int(random.integers(0, 4))))
    return {"评论": text + strange}


def some_row(random: Random) -> Inputs:
    row = {
        "年龄": float(random.normal(40, 50)),
        "income": float(random.choice([random.lognormal(8, 3), np.nan, np.inf])),
        "city": str(random.choice(["北京", "上海", "深圳", "Atlantis", ""])),
        "vip": bool(random.integers(2)),
    }
    return {name: value for name, value in row.items() if random.random() > 0.1}


def damaged(inputs: Inputs, random: Random) -> Inputs:
    """Every tenth file is cut somewhere."""
    if random.random() > 0.1:
        return inputs
    return {name: value[: random.integers(len(value))] if isinstance(value, bytes) else value
            for name, value in inputs.items()}  # fmt: skip


@pytest.fixture(scope="module")
def random() -> Random:
    return np.random.default_rng(7)


@pytest.fixture
async def stub() -> AsyncIterator[Any]:
    async with service_process("preprocess") as (_, address), grpc.aio.insecure_channel(address) as channel:
        yield PreprocessServiceStub(channel)


def outcome(run: Callable[[], tuple[dict[str, Any], list[Any]]]) -> Any:
    """Everything that an item becomes, in a form that compares to the bit."""
    try:
        tensors, anomalies = run()
    except LeptonError as error:
        return type(error), error.message, error.reason, error.fix, error.fields
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in tensors.items()}, [
        (each.input, each.reason, each.message) for each in anomalies
    ]


def here(pipeline: Pipeline, item: common_pb2.Item) -> Any:
    values: dict[str, RawValue] = raw_inputs(item)

    def run() -> tuple[dict[str, Any], list[Any]]:
        processed = pipeline.run(values)
        return processed.tensors, processed.anomalies

    return outcome(run)


def there(result: preprocess_pb2.ItemResult) -> Any:
    def run() -> tuple[dict[str, Any], list[Any]]:
        if result.HasField("error"):
            raise from_status(result.error)
        return {tensor.name: from_proto(tensor) for tensor in result.tensors.tensors}, list(result.anomalies)

    return outcome(run)


@pytest.mark.parametrize(
    ("document", "make"),
    [(IMAGE, some_image), (SOUND, some_sound), (TEXT, some_text), (TABLE, some_row)],
    ids=["image", "sound", "text", "table"],
)
async def test_a_thousand_random_inputs_come_out_the_same_to_the_bit(
    document: dict[str, Any], make: Callable[[Random], Inputs], random: Random, stub: Any
) -> None:
    inputs = [make(random) for _ in range(COUNT)]
    fitted = fit(document, lambda: inputs[:LEARNED_FROM])
    pipeline = Pipeline.load(fitted.document, fitted.files)
    items = [to_item(damaged(each, random)) for each in inputs]
    expected = [here(pipeline, item) for item in items]
    processed = sum(isinstance(each[0], dict) for each in expected)
    assert processed > COUNT * 0.8
    assert processed < COUNT or document in (TEXT, TABLE)

    results: list[Any] = []
    for begin in range(0, COUNT, BATCH):
        request = preprocess_pb2.PreprocessRequest(pipeline=pipeline.to_proto(), items=items[begin : begin + BATCH])
        results += [there(result) for result in (await stub.Preprocess(request, timeout=30)).results]

    assert results == expected
