"""Steps that learn their state from rows: what each learns, in which order, and what is refused."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline, describe_operations
from lepton_ai.pipeline.fitting import Fitted, fit
from lepton_ai.pipeline.summaries import ChannelMoments, Counts, Median, Moments
from tests.unit.pipeline.images import encoded as encoded_image
from tests.unit.pipeline.images import gradient
from tests.unit.pipeline.sounds import encoded as encoded_sound
from tests.unit.pipeline.sounds import tone

Row = dict[str, Any]

CHURN = {
    "inputs": {"年龄": "number", "income": "number", "city": "category"},
    "steps": [
        {"op": "impute", "on": ["年龄", "income"], "fit": {"method": "median"}},
        {"op": "impute", "on": ["city"], "fit": {"method": "most_frequent"}},
        {"op": "scale", "on": ["年龄"], "fit": {"method": "standard"}},
        {"op": "scale", "on": ["income"], "fit": {"method": "range"}},
        {"op": "one_hot", "on": ["city"], "fit": {"max_categories": 2}},
        {"op": "concat", "on": ["年龄", "income", "city"], "output": "row"},
    ],
}
ROWS: list[Row] = [
    {"年龄": 20, "income": 100, "city": "北京", "label": 1},
    {"年龄": None, "income": 300, "city": "上海", "label": 0},
    {"年龄": 40, "income": math.nan, "city": "上海", "label": 0},
    {"年龄": 60, "income": 200, "city": None, "label": 1},
    {"年龄": 40, "income": 200, "city": "广州", "label": 1},
]


def learn(steps: list[Row], rows: list[Row], inputs: dict[str, str], **files: bytes) -> Fitted:
    return fit({"inputs": inputs, "steps": steps}, lambda: rows, files)


def learned_column(step: Row, values: list[Any], kind: str = "number") -> Row:
    """The step as it is after learning from one column named x."""
    last = {"op": "concat", "on": ["x"], "output": "row"}
    encode = [] if kind == "number" or step["op"] == "one_hot" else [{"op": "one_hot", "on": ["x"], "fit": {}}]
    fitted = learn([{**step, "on": ["x"]}, *encode, last], [{"x": value} for value in values], {"x": kind})
    learned: Row = fitted.document["steps"][0]
    return learned


def tokens(texts: list[str], *, level: str, **fit_settings: Any) -> list[str]:
    step = {"op": "tokenize", "vocabulary": "v.txt", "level": level, "output": "ids", "fit": fit_settings}
    fitted = learn([step], [{"t": text} for text in texts], {"t": "text"})
    return fitted.files["v.txt"].decode().splitlines()


class TestTables:
    def test_a_table_is_learned_and_later_steps_see_what_earlier_ones_leave(self) -> None:
        fitted = fit(CHURN, lambda: ROWS)
        impute, impute_city, scale, scale_income, one_hot, _ = fitted.document["steps"]
        assert impute["value"] == {"年龄": 40.0, "income": 200.0}
        assert impute_city["value"] == {"city": "上海"}
        ages = [20, 40, 40, 60, 40]
        assert scale["mean"]["年龄"] == pytest.approx(statistics.fmean(ages))
        assert scale["std"]["年龄"] == pytest.approx(statistics.pstdev(ages))
        assert (scale_income["min"], scale_income["max"]) == ({"income": 100.0}, {"income": 300.0})
        assert one_hot["categories"] == {"city": ["上海", "北京"]}
        assert fitted.notes == ("steps[4]: column 'city': 2 of 3 categories are kept, the others become zeros.",)

    def test_the_outcome_has_no_fit_and_runs(self) -> None:
        fitted = fit(CHURN, lambda: ROWS)
        assert "fit" not in json.dumps(fitted.document)
        pipeline = Pipeline.load(fitted.document, fitted.files)
        rows = [pipeline.run({name: row[name] for name in pipeline.inputs}).tensors["row"] for row in ROWS]
        assert np.array(rows)[:, 0].mean() == pytest.approx(0, abs=1e-7)
        assert np.array(rows)[:, 0].std() == pytest.approx(1)
        assert (np.array(rows)[:, 1].min(), np.array(rows)[:, 1].max()) == (0, 1)

    def test_the_rows_are_read_once_for_all_steps_that_do_not_depend_on_each_other(self) -> None:
        passes = 0

        def rows() -> Iterator[Row]:
            nonlocal passes
            passes += 1
            yield from ROWS

        fit(CHURN, rows)
        assert passes == 2

    def test_the_given_document_stays_as_it_is_and_one_without_fit_is_given_back(self) -> None:
        before = json.dumps(CHURN)
        fitted = fit(CHURN, lambda: ROWS)
        assert json.dumps(CHURN) == before
        assert fit(fitted.document, list).document == fitted.document

    @pytest.mark.parametrize(
        ("method", "values", "value"),
        [
            ("mean", [1, 2, None, 6], 3.0),
            ("median", [5, None, 1, 3], 3.0),
            ("median", [4, 1, math.inf, 2, 3], 2.5),
            ("most_frequent", [3, 1, 3, 1, 2], 1.0),
        ],
    )
    def test_what_gaps_in_numbers_are_filled_with(self, method: str, values: list[Any], value: float) -> None:
        assert learned_column({"op": "impute", "fit": {"method": method}}, values)["value"] == {"x": value}

    def test_categories_come_by_count_then_by_name(self) -> None:
        values = ["b", "c", "a", "c", "b", "d", 3, True]
        step = learned_column({"op": "one_hot", "fit": {}}, values, kind="category")
        assert step["categories"] == {"x": ["b", "c", "3", "a", "d", "true"]}
        step = learned_column({"op": "one_hot", "fit": {"min_count": 2}}, values, kind="category")
        assert step["categories"] == {"x": ["b", "c"]}

    @pytest.mark.parametrize("method", ["standard", "range"])
    @pytest.mark.parametrize("value", [0.1, 0, -1e300, 1e17])
    def test_a_column_that_never_varies_becomes_zero_and_is_noted(self, method: str, value: float) -> None:
        scale = {"op": "scale", "on": ["x"], "fit": {"method": method}}
        last = {"op": "concat", "on": ["x"], "output": "row"}
        fitted = learn([scale, last], [{"x": value}] * 7, {"x": "number"})
        assert "never varies" in fitted.notes[0]
        assert Pipeline.load(fitted.document).run({"x": value}).tensors["row"].tolist() == [0.0]


class TestVocabularies:
    def test_tokens_come_by_count_then_by_text_behind_the_special_ones(self) -> None:
        assert tokens(["b a b", "c a d"], level="word") == ["[PAD]", "[UNK]", "a", "b"]
        assert tokens(["b a b", "c a d"], level="word", min_count=1, max_tokens=5) == ["[PAD]", "[UNK]", "a", "b", "c"]

    def test_levels(self) -> None:
        texts = ["清华大学很好", "北京清华大学"]
        assert tokens(texts, level="jieba")[2:] == ["清华大学"]
        assert tokens(texts, level="char")[2:] == sorted("清华大学")
        assert tokens(["low low lower"] * 2, level="subword", max_tokens=7) == [
            "[PAD]", "[UNK]", "##o", "##w", "l", "##e", "##r",
        ]  # fmt: skip
        assert "low" in tokens(["low low lower"] * 2, level="subword")

    def test_the_vocabulary_is_of_the_text_that_earlier_steps_leave(self) -> None:
        steps: list[Row] = [
            {"op": "normalize_text", "form": "NFKC", "lower": True},
            {"op": "tokenize", "vocabulary": "v", "output": "ids", "start": "[CLS]", "pad": False, "fit": {}},
        ]
        fitted = learn(steps, [{"t": "ＡＢＣ abc"}], {"t": "text"})
        assert fitted.files["v"] == b"[UNK]\n[CLS]\nabc\n"

    def test_another_step_may_read_what_one_learns(self) -> None:
        steps: list[Row] = [
            {"op": "tokenize", "input": "a", "vocabulary": "v", "output": "first", "fit": {"min_count": 1}},
            {"op": "tokenize", "input": "b", "vocabulary": "v", "output": "second"},
        ]
        fitted = learn(steps, [{"a": "x y", "b": "y z"}], {"a": "text", "b": "text"})
        processed = Pipeline.load(fitted.document, fitted.files).run({"a": "y", "b": "y"})
        np.testing.assert_array_equal(processed.tensors["first"], processed.tensors["second"])

    def test_a_vocabulary_of_nothing_is_noted(self) -> None:
        step = {"op": "tokenize", "vocabulary": "v", "output": "ids", "fit": {"min_count": 9}}
        assert "every text is unknown" in learn([step], [{"t": "a b"}], {"t": "text"}).notes[0]


class TestTensors:
    def test_images_are_standardised_by_channel(self) -> None:
        images = [encoded_image(gradient(width, 20), "PNG") for width in (20, 30, 40)]
        normalize = {"op": "normalize", "scale": 1 / 255, "output": "image", "fit": {}}
        fitted = learn([{"op": "decode_image"}, normalize], [{"p": image} for image in images], {"p": "image"})
        pipeline = Pipeline.load(fitted.document)
        pixels = np.concatenate([pipeline.run({"p": image}).tensors["image"].reshape(-1, 3) for image in images])
        np.testing.assert_allclose(pixels.astype(np.float64).mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(pixels.astype(np.float64).std(axis=0), 1, atol=1e-5)

    def test_grey_images_have_one_channel(self) -> None:
        steps: list[Row] = [{"op": "decode_image", "mode": "L"}, {"op": "normalize", "output": "image", "fit": {}}]
        fitted = learn(steps, [{"p": encoded_image(gradient(), "PNG")}], {"p": "image"})
        assert len(fitted.document["steps"][1]["mean"]) == 1

    @pytest.mark.parametrize(("per", "shape"), [("channel", (40,)), ("all", ())])
    def test_spectrograms_by_band_or_as_a_whole(self, per: str, shape: tuple[int, ...]) -> None:
        steps: list[Row] = [
            {"op": "decode_sound"},
            {"op": "resample", "rate": 16_000},
            {"op": "log_mel", "mels": 40},
            {"op": "normalize", "output": "mel", "fit": {"per": per}},
        ]
        clips = [encoded_sound(tone(0.3, hz=hz)) for hz in (300, 1000, 3000)]
        fitted = learn(steps, [{"clip": clip} for clip in clips], {"clip": "sound"})
        assert np.shape(fitted.document["steps"][3]["mean"]) == shape
        pipeline = Pipeline.load(fitted.document)
        mel = np.concatenate([pipeline.run({"clip": clip}).tensors["mel"] for clip in clips], axis=1)
        assert mel.mean() == pytest.approx(0, abs=1e-4)
        assert mel.std() == pytest.approx(1, abs=1e-4)

    def test_a_channel_that_never_varies_is_noted(self) -> None:
        steps: list[Row] = [
            {"op": "tensor", "dtype": "FP32", "shape": [2]},
            {"op": "normalize", "output": "x", "fit": {}},
        ]
        rows = [{"t": np.array([1, value], np.float32)} for value in (1, 2, 3)]
        fitted = learn(steps, rows, {"t": "tensor"})
        assert fitted.document["steps"][1]["mean"] == pytest.approx([1, 2])
        assert fitted.document["steps"][1]["std"] == pytest.approx([1, (2 / 3) ** 0.5])
        assert "1 channels never vary" in fitted.notes[0]


def test_errors_name_the_step_and_the_column() -> None:
    def error(step: Row, values: list[Any], kind: str = "number") -> tuple[str, str]:
        with pytest.raises(InvalidInput) as raised:
            learned_column(step, values, kind)
        return raised.value.fields[0].field, str(raised.value)

    scale = {"op": "scale", "fit": {}}
    for values, what in (([1, None], "is missing"), ([1, math.nan], "not a finite number")):
        field, text = error(scale, values)
        assert field == "steps[0].on"
        assert text.startswith("Row 1 (counted from 0): steps[0].on: column 'x'")
        assert what in text
        assert "impute" in text
    field, text = error({"op": "impute", "fit": {}}, [None, math.nan])
    assert (field, "column 'x' has no value in any row" in text) == ("steps[0].fit", True)
    field, text = error({"op": "impute", "fit": {"method": "mean"}}, ["a"], "category")
    assert (field, "'x' is a category" in text) == ("steps[0].fit.method", True)
    field, text = error({"op": "one_hot", "fit": {"min_count": 2}}, ["a", "b"], "category")
    assert (field, "column 'x' has no category that occurs 2 times" in text) == ("steps[0].fit", True)
    field, text = error(scale, [1, "ten"])
    assert (field, "is a text, expected a number" in text) == ("inputs.x", True)
    field, text = error(scale, [1.7e308, -1.7e308])
    assert (field, "column 'x'" in text) == ("steps[0].fit", True)


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"op": "clip", "on": ["x"], "min": 0, "max": 1, "fit": {}}, "steps[0].fit"),
        ({"op": "nothing", "fit": {}}, "steps[0].fit"),
        ({"op": "scale", "on": ["x"], "fit": {"method": "robust"}}, "steps[0].fit.method"),
        ({"op": "scale", "on": ["x"], "fit": {"methode": "range"}}, "steps[0].fit.methode"),
        ({"op": "scale", "on": ["x"], "fit": 5}, "steps[0].fit"),
        ({"op": "scale", "on": ["x"], "mean": 1, "fit": {}}, "steps[0].mean"),
        ({"op": "scale", "on": ["x"], "max": 1, "fit": {}}, "steps[0].max"),
        ({"op": "scale", "on": ["y"], "fit": {}}, "steps[0].on"),
        ({"op": "scale", "onn": ["x"], "fit": {}}, "steps[0].on"),
        ({"op": "one_hot", "on": ["x"], "fit": {}}, "steps[0].on"),
        ({"op": "tokenize", "vocabulary": "v", "fit": {}}, "steps[0].input"),
    ],
)
def test_documents_that_cannot_learn_are_refused(step: Row, field: str) -> None:
    last = {"op": "concat", "on": ["x"], "output": "row"}
    with pytest.raises(InvalidInput) as raised:
        learn([step, last], [{"x": 1.0}], {"x": "number"})
    assert raised.value.fields[0].field == field


def test_two_steps_cannot_learn_one_file() -> None:
    step = {"op": "tokenize", "vocabulary": "v", "fit": {}}
    steps = [{**step, "input": "a", "output": "x"}, {**step, "input": "b", "output": "y"}]
    with pytest.raises(InvalidInput) as raised:
        learn(steps, [{"a": "", "b": ""}], {"a": "text", "b": "text"})
    assert raised.value.fields[0].field == "steps[1].vocabulary"


def test_rows_that_can_be_read_only_once_are_noticed() -> None:
    once = iter(ROWS)
    with pytest.raises(InvalidInput) as raised:
        fit(CHURN, lambda: once)
    assert raised.value.reason in ("ROWS_CHANGED", "NO_ROWS")
    with pytest.raises(InvalidInput) as raised:
        fit(CHURN, list)
    assert raised.value.reason == "NO_ROWS"


class TestSummaries:
    @given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
    def test_mean_and_deviation_one_by_one_and_in_blocks(self, values: list[float]) -> None:
        one, block = Moments(), ChannelMoments()
        for value in values:
            one.add(value)
        block.add_rows(np.array(values[:50])[:, np.newaxis])
        block.add_rows(np.array(values[50:])[:, np.newaxis])
        for moments in (one, block):
            np.testing.assert_allclose(moments.mean, statistics.fmean(values), atol=1e-6, rtol=1e-9)
            np.testing.assert_allclose(moments.std, statistics.pstdev(values), atol=1e-4, rtol=1e-6)

    @given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
    @example(values=[0.0, 0.0, 1.71e308, 1.71e308, 1.71e308])
    @example(values=[-sys.float_info.max] * 5)
    def test_the_median_is_exact_and_beyond_its_memory_within_a_thousandth(self, values: list[float]) -> None:
        exact, sketch = Median(), Median(exact_values=4)
        for value in values:
            exact.add(value)
            sketch.add(value)
        assert exact.value == pytest.approx(statistics.median(value / 2 for value in values) * 2, rel=1e-12)
        if len(values) > 4:
            middle = sorted(values)[(len(values) - 1) // 2]
            assert sketch.value == pytest.approx(middle, rel=0.0011, abs=1e-307)

    def test_counts_keep_what_is_frequent_when_too_much_is_distinct(self) -> None:
        counts = Counts(max_distinct=100)
        for number in range(10_000):
            counts.add(number)
            counts.add(number % 5 - 5)
        assert len(counts.counts) <= 100
        assert sorted(counts.most_common()[:5]) == [-5, -4, -3, -2, -1]


class TestWhateverTheRows:
    """Fit, then run: never an error on the rows that were learned from, and the same again from the same rows."""

    @settings(deadline=None)
    @given(
        rows=st.lists(
            st.fixed_dictionaries(
                {
                    "年龄": st.none() | st.floats(-1e100, 1e100) | st.just(math.nan) | st.integers(-5, 5),
                    "income": st.none() | st.floats(-1e100, 1e100),
                    "city": st.none() | st.text(max_size=5) | st.booleans() | st.integers(0, 3),
                }
            ),
            min_size=1,
            max_size=20,
        )
    )
    def test_tables(self, rows: list[Row]) -> None:
        try:
            fitted = fit(CHURN, lambda: rows)
        except InvalidInput as error:
            assert "has no value in any row" in error.message
            return
        assert fit(CHURN, lambda: rows) == fitted
        pipeline = Pipeline.load(fitted.document, fitted.files)
        for row in rows:
            assert pipeline.run(row).tensors["row"].shape == pipeline.outputs[0].shape

    @settings(deadline=None)
    @given(
        texts=st.lists(st.text(max_size=40), min_size=1, max_size=8),
        level=st.sampled_from(["word", "char", "jieba", "subword"]),
    )
    def test_texts(self, texts: list[str], level: str) -> None:
        step = {
            "op": "tokenize", "vocabulary": "v", "level": level, "output": "ids", "pad": False,
            "max_length": 1000, "fit": {"min_count": 1},
        }  # fmt: skip
        rows = [{"t": text} for text in texts]
        fitted = learn([step], rows, {"t": "text"})
        assert learn([step], rows, {"t": "text"}) == fitted
        pipeline = Pipeline.load(fitted.document, fitted.files)
        for row in rows:  # every token was seen, so none is [UNK]
            assert 0 not in pipeline.run(row).tensors["ids"].tolist()


def test_the_example_in_the_documentation_runs_and_every_operation_is_listed() -> None:
    text = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text(encoding="utf-8")
    names: Row = {}
    exec(text.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own documentation
    assert names["pipeline"].run({"age": 30, "city": "北京"}).tensors["row"].tolist() == [0.0, 1.0, 0.0]
    sound = Pipeline.load(yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]))
    assert sound.outputs[0].shape == (40, 98)
    assert [operation.name for operation in describe_operations() if f"`{operation.name}`" not in text] == []
