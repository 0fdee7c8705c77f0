"""Outputs of a model to text: CTC and ids of tokens."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.pipeline.vocabulary import split_words
from lepton_ai.postprocessing import Answered, Postprocess, Text
from tests.unit.postprocessing.specs import Spec

ALPHABET = "价格A |"
FILES = {"字母.txt": "\n".join(ALPHABET).encode() + b"\n"}
CTC: dict[str, Any] = {"op": "ctc", "alphabet": "字母.txt"}
WORDS = ("[PAD]", "[UNK]", "[SEP]", "play", "##ing", "中", "文", "，", "hello", ".", "<s>")
VOCABULARY = {"v": "\n".join(WORDS).encode()}
TOKENS: dict[str, Any] = {"op": "tokens", "vocabulary": "v"}


def read(answered: Answered) -> Text:
    assert isinstance(answered.answer, Text)
    return answered.answer


def scores_of(indices: list[int], symbols: int) -> Any:
    """[1, steps, symbols] in which each step is sure of one symbol."""
    return np.eye(symbols, dtype=np.float32)[indices][np.newaxis]


def ids_of(*tokens: str) -> Any:
    return np.array([[WORDS.index(token) for token in tokens]], dtype=np.int64)


def join(level: str, *tokens: str) -> str:
    (row,) = Postprocess.load([{**TOKENS, "level": level}], VOCABULARY).run({"ids": ids_of(*tokens)})
    return read(row).text


def refusal(step: dict[str, Any], files: dict[str, bytes], *outputs: Spec) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        Postprocess.load([step], files).check(outputs)
    return raised.value


def test_repeats_count_once_unless_a_blank_stands_between_them() -> None:
    postprocess = Postprocess.load([CTC], FILES)
    (row,) = postprocess.run({"y": scores_of([0, 1, 1, 0, 1, 2, 2, 0, 4, 3], 6)})
    assert read(row) == Text("价价格 A", 1.0)
    assert postprocess.kind == "text"


def test_the_blank_may_be_the_last_symbol_and_a_symbol_may_stand_for_a_space() -> None:
    postprocess = Postprocess.load([{**CTC, "blank": "last", "space": "|"}], FILES)
    (row,) = postprocess.run({"y": scores_of([4, 0, 5, 0, 4, 1, 4], 6)})
    assert read(row).text == "价价 格"


def test_the_score_is_the_mean_of_the_characters_that_are_kept() -> None:
    steps = [[0.1, 0.9, 0, 0, 0, 0], [0.3, 0.7, 0, 0, 0, 0], [0.8, 0.2, 0, 0, 0, 0], [0, 0, 0.5, 0.3, 0.2, 0]]
    (row,) = Postprocess.load([CTC], FILES).run({"y": np.array([steps], dtype=np.float32)})
    assert read(row).text == "价格"
    assert read(row).score == pytest.approx((0.9 + 0.5) / 2)


def test_where_nothing_is_read_the_text_is_empty_and_has_no_score() -> None:
    (row,) = Postprocess.load([CTC], FILES).run({"y": scores_of([0, 0, 0], 6)})
    assert read(row) == Text("", None)


def test_logits_become_probabilities_by_a_softmax_before() -> None:
    logits = np.log(np.array([[[1, 6, 1, 1, 1, 0.5]]], dtype=np.float32))
    (row,) = Postprocess.load([{"op": "softmax", "input": "y"}, CTC], FILES).run({"y": logits, "other": logits})
    assert read(row).score == pytest.approx(6 / 10.5)


def plain_ctc(steps: Any, blank: int, symbols: str) -> str:
    best = [int(step.argmax()) for step in steps]
    return "".join(symbols[index] for index, _ in groupby(best) if index != blank).strip()


@given(
    rows=numpy_st.arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.integers(0, 12), st.just(6)),
        elements=st.floats(-9, 9, width=32),
    ),
    blank=st.sampled_from(["first", "last"]),
)
def test_ctc_reads_what_a_plain_loop_reads(rows: Any, blank: str) -> None:
    index, symbols = (0, "·" + ALPHABET) if blank == "first" else (5, ALPHABET + "·")
    answers = Postprocess.load([{**CTC, "blank": blank}], FILES).run({"y": rows})
    assert [read(row).text for row in answers] == [plain_ctc(row, index, symbols) for row in rows]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_steps_that_are_no_numbers_are_an_error_of_their_row_alone_or_an_anomaly(wrong: float) -> None:
    scores = np.concatenate([scores_of([1, 2], 6)] * 2)
    scores[1, 1] = wrong
    good, bad = Postprocess.load([CTC], FILES).run({"y": scores})
    assert read(good).text == "价格"
    assert bad.error is not None
    assert bad.error.reason == "NOT_A_NUMBER"
    good, odd = Postprocess.load([{**CTC, "not_a_number": "anomaly"}], FILES).run({"y": scores})
    assert (good.anomaly, read(odd).text, bool(odd.anomaly)) == ("", "价", True)


def test_an_alphabet_that_is_not_the_models_is_told_at_push_with_both_numbers() -> None:
    error = refusal(CTC, FILES, Spec("概率", "FP32", (-1, -1, 7)))
    assert error.fields[0].field == "steps[0].alphabet"
    assert error.fields[0].description == "and the blank are 6 symbols, output 概率 has 7 a step"
    assert "a space is a line that holds one" in error.fix


@pytest.mark.parametrize(
    ("step", "output", "field"),
    [
        (CTC, Spec("y", "FP32", (-1, 6)), "steps[0].input"),
        (CTC, Spec("y", "BYTES", (-1, -1, 6)), "steps[0].input"),
        ({**CTC, "space": "▁"}, Spec("y", "FP32", (-1, -1, 6)), "steps[0].space"),
        ({**CTC, "blank": "middle"}, Spec("y", "FP32", (-1, -1, 6)), "steps[0].blank"),
        ({**CTC, "alphabet": "empty line"}, Spec("y", "FP32", (-1, -1, 6)), "steps[0].alphabet"),
        ({**CTC, "alphabet": "absent"}, Spec("y", "FP32", (-1, -1, 6)), "steps[0].alphabet"),
        (TOKENS, Spec("ids", "FP32", (-1, -1)), "steps[0].input"),
        (TOKENS, Spec("ids", "INT64", (-1, 1, -1)), "steps[0].input"),
        ({**TOKENS, "end": "</s>"}, Spec("ids", "INT64", (-1, -1)), "steps[0].end"),
        ({**TOKENS, "special": ["[CLS]"]}, Spec("ids", "INT64", (-1, -1)), "steps[0].special"),
        ({**TOKENS, "level": "letter"}, Spec("ids", "INT64", (-1, -1)), "steps[0].level"),
    ],
)
def test_what_does_not_fit_is_refused_at_push_with_its_path(step: dict[str, Any], output: Spec, field: str) -> None:
    assert refusal(step, FILES | VOCABULARY | {"empty line": b"a\n\nb"}, output).fields[0].field == field


def test_right_packages_are_taken() -> None:
    Postprocess.load([CTC], FILES).check([Spec("y", "FP32", (-1, -1, 6))])
    Postprocess.load([CTC], FILES).check([Spec("y", "FP32", (-1, -1, -1))])
    Postprocess.load([TOKENS], VOCABULARY).check([Spec("ids", "INT32", (-1, 20))])


@pytest.mark.parametrize(
    ("step", "output", "reason"),
    [
        (CTC, np.zeros((1, 6)), "OUTPUT_SHAPE"),
        (CTC, np.zeros((1, 2, 7)), "ALPHABET_MISMATCH"),
        (TOKENS, np.zeros((1, 2)), "OUTPUT_SHAPE"),
        (TOKENS, np.zeros((1, 2, 1), dtype=np.int64), "OUTPUT_SHAPE"),
    ],
)
def test_outputs_that_do_not_fit_are_a_fault_of_the_package(step: dict[str, Any], output: Any, reason: str) -> None:
    with pytest.raises(FailedPrecondition) as raised:
        Postprocess.load([step], FILES | VOCABULARY).run({"y": output})
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("level", "tokens", "text"),
    [
        ("word", ("hello", "hello", "."), "hello hello."),
        ("word", ("中", "文", "，", "hello"), "中文， hello"),
        ("char", ("中", "hello", "文"), "中hello文"),
        ("subword", ("play", "##ing", "中", "文", ".", "play"), "playing 中文. play"),
        ("subword", ("##ing", "##ing"), "inging"),
        ("word", (), ""),
    ],
)
def test_tokens_join_as_they_were_split(level: str, tokens: tuple[str, ...], text: str) -> None:
    assert join(level, *tokens) == text


def test_special_tokens_are_left_out_and_the_end_ends() -> None:
    postprocess = Postprocess.load([{**TOKENS, "special": ["[PAD]", "<s>"], "end": "[SEP]"}], VOCABULARY)
    (row,) = postprocess.run({"ids": ids_of("<s>", "hello", "[PAD]", "[SEP]", "hello", "[UNK]")})
    assert read(row) == Text("hello", None)


@pytest.mark.parametrize("wrong", [-1, len(WORDS)])
def test_an_id_outside_the_vocabulary_is_an_error_of_its_row_alone_unless_it_comes_after_the_end(wrong: int) -> None:
    ids = np.array([[8, wrong], [2, wrong], [8, 8]], dtype=np.int32)
    bad, ended, good = Postprocess.load([{**TOKENS, "end": "[SEP]"}], VOCABULARY).run({"ids": ids})
    assert bad.error is not None
    assert bad.error.reason == "VOCABULARY_MISMATCH"
    assert str(wrong) in bad.error.message
    assert (read(ended).text, read(good).text) == ("", "hello hello")


@given(st.lists(st.sampled_from(["play", "playing", "hello", "中", "文"]), min_size=1, max_size=8))
def test_a_text_that_was_split_into_pieces_comes_back(words: list[str]) -> None:
    step = {"op": "tokenize", "vocabulary": "v", "level": "subword", "pad": False, "output": "ids", "end": "[SEP]"}
    split = Pipeline.load({"inputs": {"text": "text"}, "steps": [step]}, VOCABULARY)
    joined = Postprocess.load([{**TOKENS, "level": "subword", "end": "[SEP]"}], VOCABULARY)
    ids = split.run({"text": " ".join(words)}).tensors["ids"]
    text = read(joined.run({"ids": ids[np.newaxis]})[0]).text
    assert split_words(text) == words
    assert split.run({"text": text}).tensors["ids"].tolist() == ids.tolist()


def test_pieces_of_bytes_become_text_in_any_script() -> None:
    vocabulary = {"v": "ĠHello\n,\nĠä½\nł\nå¥½\n<|end|>\nä½".encode()}
    step = {**TOKENS, "level": "byte", "end": "<|end|>"}
    ids = np.array([[0, 1, 2, 3, 4, 5, 0], [6, 5, 0, 0, 0, 0, 0]])
    whole, half = Postprocess.load([step], vocabulary).run({"ids": ids})
    assert read(whole).text == "Hello, 你好"
    assert read(half).text == "\ufffd"
