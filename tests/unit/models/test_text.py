"""The text classifier with each of its networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai.datasets import Column, Dataset, Schema, from_rows
from lepton_ai.errors import InvalidInput
from lepton_ai.models import TextClassifier
from lepton_ai.models.text_networks import EncoderKind
from tests.unit.models.served import assert_served_alike

ENCODERS: tuple[EncoderKind, ...] = ("cnn", "lstm", "transformer")
SCHEMA = Schema((Column("评论", "text"), Column("sense", "category", "target")))
WORDS = {"good": "这家酒店非常好房间干净", "bad": "服务太差再也不会来了", "odd": "昨天下雨今天晴"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def reviews(rows: int = 60) -> Dataset:
    random = np.random.default_rng(0)
    senses = [tuple(WORDS)[number % len(WORDS)] for number in range(rows)]
    texts = ["".join(random.choice(list(WORDS[sense]), random.integers(3, 20))) for sense in senses]
    return from_rows(({"评论": text, "sense": sense} for text, sense in zip(texts, senses, strict=True)), SCHEMA)


def small(encoder: EncoderKind, **config: object) -> TextClassifier:
    options: dict[str, object] = {"max_length": 24, "embedding": 16, "hidden": 16, "dropout": 0.1, **config}
    return TextClassifier(encoder, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_texts_are_told_apart_and_served_with_the_same_answers(encoder: EncoderKind, tmp_path: Path) -> None:
    data, model = reviews(), small(encoder)
    model.fit(data, epochs=5, batch_size=8, learning_rate=0.01, progress=False)
    assert model.evaluate(data).metrics["accuracy"] > 0.9
    assert model.predict("非常非常好").label == "good"
    assert_served_alike(model, data, tmp_path)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_more_padding_changes_no_answer(encoder: EncoderKind) -> None:
    data, model = reviews(12), small(encoder)
    model.fit(data, epochs=1, validation=None, progress=False)
    assert model.pipeline is not None
    tokens = torch.from_numpy(np.stack([model.pipeline.run(row).tensors["tokens"] for row in data.rows(["评论"])]))
    longer = torch.cat([tokens, torch.zeros(len(tokens), 40, dtype=torch.int64)], dim=1)
    with torch.inference_mode():
        together = model.network(tokens)
        torch.testing.assert_close(model.network(longer), together)
        for row in range(len(tokens)):  # alone, a row has no padding that others need
            torch.testing.assert_close(model.network(tokens[row : row + 1])[0], together[row])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_empty_text_gets_an_answer(encoder: EncoderKind) -> None:
    data, model = reviews(12), small(encoder)
    model.fit(data, epochs=1, validation=None, progress=False)
    answers = model.predict(["", "   ", "\U0001f600"])
    assert all(np.isfinite(each.outputs["logits"]).all() for each in answers)
    np.testing.assert_allclose(answers[0].outputs["logits"], answers[1].outputs["logits"], rtol=1e-5)


@pytest.mark.parametrize("level", ["word", "jieba", "subword"])
def test_tokens_may_be_words_or_pieces_of_words(level: str) -> None:
    data, model = reviews(), small("cnn", level=level)
    model.fit(data, epochs=3, batch_size=8, learning_rate=0.01, progress=False)
    assert model.evaluate(data).metrics["accuracy"] > 0.6


def test_an_unknown_kind_of_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"encoder.*cnn, lstm, transformer"):
        TextClassifier("gpt")  # type: ignore[arg-type]


def test_a_text_that_names_a_file_is_the_text_and_never_the_file(tmp_path: Path) -> None:
    model = small("cnn")
    model.fit(reviews(12), epochs=1, validation=None, progress=False)
    secret = tmp_path / "passwords.png"
    secret.write_text("非常好")
    wanted = model.predict({"评论": str(secret)}).outputs["logits"]
    assert np.array_equal(model.predict(str(secret)).outputs["logits"], wanted)
    looks_like_files = from_rows([{"评论": str(secret), "sense": "good"}], target="sense")
    assert looks_like_files.schema["评论"].kind == "image", "what makes this worth a test"
    assert np.allclose(model.predict(looks_like_files)[0].outputs["logits"], wanted)
    assert (
        model.evaluate(looks_like_files).metrics
        == model.evaluate(from_rows([{"评论": str(secret), "sense": "good"}], SCHEMA)).metrics
    )
    assert not np.allclose(model.predict(secret).outputs["logits"], wanted), "a Path is the file"


@pytest.mark.parametrize("text", ["a\ud800", "\udcff"])
def test_half_a_surrogate_pair_is_refused_with_its_field(text: str) -> None:
    model = small("cnn")
    model.fit(reviews(12), epochs=1, validation=None, progress=False)
    with pytest.raises(InvalidInput, match=r"inputs\.评论.*surrogate"):
        model.predict({"评论": text})
    with pytest.raises(InvalidInput, match=r"评论.*surrogate"):
        from_rows([{"评论": text, "sense": "good"}])
