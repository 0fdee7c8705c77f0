"""normalize_text, tokenize, text_tensor."""

from __future__ import annotations

import multiprocessing
import time
import unicodedata
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline, Processed
from lepton_ai.pipeline.segmentation import split_chinese
from lepton_ai.pipeline.subwords import split_subwords, train_subwords

VOCABULARY = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "world", ",", "好", "你", "模型"]).encode()


def normalized(text: str | bytes, **parameters: Any) -> str:
    steps = [{"op": "normalize_text", **parameters}, {"op": "text_tensor", "output": "text"}]
    tensor = Pipeline.load({"inputs": {"t": "text"}, "steps": steps}).run({"t": text}).tensors["text"]
    content: bytes = tensor.tolist()[0]
    return content.decode()


def tokenized(text: str, *, vocabulary: bytes = VOCABULARY, **parameters: Any) -> Processed:
    step = {"op": "tokenize", "vocabulary": "vocab.txt", "output": "ids", "max_length": 8, **parameters}
    return Pipeline.load({"inputs": {"t": "text"}, "steps": [step]}, {"vocab.txt": vocabulary}).run({"t": text})


class TestNormalizeText:
    def test_forms(self) -> None:
        assert normalized("e\u0301") == "é"
        assert normalized("ＡＢＣ１２３", form="NFKC") == "ABC123"
        assert normalized("ＡＢＣ", form="NFC") == "ＡＢＣ"

    def test_lower_strip_and_spaces(self) -> None:
        assert normalized("Hello\x00 \u202eWORLD\ufeff", lower=True) == "hello world"
        assert normalized("  a\t b\n", collapse_spaces=True) == "a b"
        assert normalized("a\nb\tc") == "a\nb\tc"
        assert normalized("a\x00b", strip_control=False) == "a\x00b"

    def test_utf8_bytes_are_a_text_too(self) -> None:
        assert normalized("高可用".encode()) == "高可用"

    @pytest.mark.parametrize("value", [b"\xff\xfe", "\ud800", 5, True])
    def test_what_is_not_a_text_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidInput) as raised:
            normalized(value)
        assert (raised.value.reason, raised.value.fields[0].field) == ("WRONG_KIND", "inputs.t")

    def test_the_byte_limit_counts_utf8(self) -> None:
        assert normalized("好" * 3, max_bytes=9) == "好好好"
        with pytest.raises(InvalidInput) as raised:
            normalized("好" * 3, max_bytes=8)
        assert raised.value.reason == "TEXT_TOO_LONG"

    def test_expansion_is_cut_and_flagged(self) -> None:
        steps = [{"op": "normalize_text", "form": "NFKC", "max_characters": 20}, {"op": "text_tensor", "output": "x"}]
        processed = Pipeline.load({"inputs": {"t": "text"}, "steps": steps}).run({"t": "\ufdfa" * 4})
        assert [anomaly.reason for anomaly in processed.anomalies] == ["TRUNCATED_TEXT"]
        assert len(processed.tensors["x"].tolist()[0].decode()) == 20

    @pytest.mark.parametrize(
        "text", ["a" + "\u0315\u0300" * 10_000, "\ufdfa" * 20_000, "\u0344" * 30_000, "각" * 20_000], ids=range(4)
    )
    def test_hostile_text_takes_no_time(self, text: str) -> None:
        start_s = time.process_time()
        try:
            normalized(text, form="NFKC", lower=True)
        except InvalidInput as error:
            assert error.reason == "TOO_MANY_MARKS"
        assert time.process_time() - start_s < 0.5

    @given(text=st.text(max_size=200))
    def test_the_result_is_stable_and_in_its_form(self, text: str) -> None:
        once = normalized(text, form="NFKC", strip_control=False)
        assert unicodedata.is_normalized("NFKC", once)
        assert normalized(once, form="NFKC", strip_control=False) == once


class TestTokenize:
    def test_words_punctuation_and_chinese_characters(self) -> None:
        assert tokenized("hello, world你好x").tensors["ids"].tolist() == [4, 6, 5, 8, 7, 1, 0, 0]

    def test_characters(self) -> None:
        assert tokenized("你 好", level="char").tensors["ids"].tolist() == [8, 7, 0, 0, 0, 0, 0, 0]

    def test_start_end_and_mask(self) -> None:
        tensors = tokenized("hello", start="[CLS]", end="[SEP]", mask="mask", max_length=4).tensors
        assert tensors["ids"].tolist() == [2, 4, 3, 0]
        assert tensors["mask"].tolist() == [1, 1, 1, 0]
        assert tensors["ids"].dtype == tensors["mask"].dtype == np.int64

    def test_too_many_tokens_are_cut_and_flagged_and_the_end_stays(self) -> None:
        processed = tokenized("hello world hello", max_length=3, start="[CLS]", end="[SEP]")
        assert processed.tensors["ids"].tolist() == [2, 4, 3]
        assert [anomaly.reason for anomaly in processed.anomalies] == ["TRUNCATED_TEXT"]

    def test_without_padding_the_length_is_the_texts(self) -> None:
        assert tokenized("hello world", pad=False).tensors["ids"].tolist() == [4, 5]
        assert tokenized("", pad=False).tensors["ids"].shape == (0,)

    def test_shapes_are_told(self) -> None:
        step = {"op": "tokenize", "vocabulary": "v", "output": "ids", "max_length": 8, "mask": "mask"}
        loaded = Pipeline.load({"inputs": {"t": "text"}, "steps": [step]}, {"v": VOCABULARY})
        assert [(each.name, each.dtype, each.shape) for each in loaded.outputs] == [
            ("ids", "INT64", (8,)),
            ("mask", "INT64", (8,)),
        ]

    @pytest.mark.parametrize(
        ("vocabulary", "parameters", "field"),
        [
            (b"a\nb\na\n", {}, "steps[0].vocabulary"),
            (b"a\n\nb", {}, "steps[0].vocabulary"),
            (b"\xff", {}, "steps[0].vocabulary"),
            (b"hello", {}, "steps[0].unknown"),
            (b"[UNK]", {}, "steps[0].padding"),
            (b"[UNK]\n[PAD]", {"start": "[CLS]"}, "steps[0].start"),
            (VOCABULARY, {"start": "[CLS]", "end": "[SEP]", "max_length": 2}, "steps[0]"),
            (VOCABULARY, {"mask": "ids"}, "steps[0].mask"),
        ],
    )
    def test_unusable_vocabularies_and_parameters_are_refused_at_load(
        self, vocabulary: bytes, parameters: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as raised:
            tokenized("hello", vocabulary=vocabulary, **parameters)
        assert raised.value.fields[0].field == field

    @given(text=st.text(max_size=100))
    def test_any_text_becomes_ids_of_the_vocabulary(self, text: str) -> None:
        ids = tokenized(text).tensors["ids"]
        assert ids.shape == (8,)
        assert set(ids.tolist()) <= set(range(10))


class TestSegmentation:
    def test_chinese_words_are_those_of_jieba(self) -> None:
        assert split_chinese("我来到北京清华大学, 爱 New York 2024年!") == [
            "我", "来到", "北京", "清华大学", ",", "爱", "New", "York", "2024", "年", "!",
        ]  # fmt: skip

    def test_tokens_are_words_only_at_that_level(self) -> None:
        vocabulary = "[PAD]\n[UNK]\n模型\n模\n型".encode()
        assert tokenized("模型", vocabulary=vocabulary, level="jieba").tensors["ids"].tolist()[:2] == [2, 0]
        assert tokenized("模型", vocabulary=vocabulary, level="word").tensors["ids"].tolist()[:2] == [3, 4]

    def test_words_that_others_add_to_the_library_change_nothing(self) -> None:
        import rjieba

        before = split_chinese("很好吃的")
        rjieba.add_word("很好吃的", 10_000_000, "n")
        assert rjieba.cut("很好吃的") == ["很好吃的"] != before
        assert split_chinese("很好吃的") == before

    def test_every_thread_and_process_splits_alike(self) -> None:
        texts = [f"第{number}次研究生命的起源,南京市长江大桥真好看" for number in range(50)]
        expected = [split_chinese(text) for text in texts]
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(split_chinese, texts)) == expected
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            assert list(process.map(split_chinese, texts)) == expected

    @settings(deadline=None)
    @given(text=st.text(max_size=100))
    def test_nothing_but_white_space_is_lost(self, text: str) -> None:
        assert "".join(split_chinese(text)) == "".join(text.split())


class TestSubwords:
    def test_the_longest_piece_comes_first(self) -> None:
        pieces = {"un", "una", "##aff", "##able", "##ff", "##a"}
        assert split_subwords("unaffable", pieces) == ["una", "##ff", "##able"]
        assert split_subwords("unaffable", pieces - {"una"}) == ["un", "##aff", "##able"]

    def test_a_word_that_no_pieces_make_is_one_unknown_token(self) -> None:
        assert split_subwords("unx", {"un"}) is None
        vocabulary = b"[PAD]\n[UNK]\nun\n##a"
        assert tokenized("una unx una", vocabulary=vocabulary, level="subword").tensors["ids"].tolist()[:5] == [
            2, 3, 1, 2, 3,
        ]  # fmt: skip

    def test_training_merges_the_most_frequent_pair_first(self) -> None:
        words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
        pieces = train_subwords(words, max_pieces=100, min_count=2)
        merges = [piece for piece in pieces if len(piece.removeprefix("##")) > 1]
        assert merges[:4] == ["##es", "##est", "##ow", "low"]  # equal counts: what sorts first
        assert split_subwords("lowest", pieces) == ["low", "##est"]

    @settings(deadline=None)
    @given(words=st.dictionaries(st.text(min_size=1, max_size=12), st.integers(1, 50), max_size=20))
    def test_what_was_trained_on_can_be_split_and_put_together_again(self, words: dict[str, int]) -> None:
        pieces = train_subwords(words, max_pieces=10_000, min_count=1)
        assert len(set(pieces)) == len(pieces)
        for word in words:
            split = split_subwords(word, set(pieces))
            assert split is not None
            assert split[0] + "".join(piece[2:] for piece in split[1:]) == word
