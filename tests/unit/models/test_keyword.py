"""The keyword spotter on tones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lepton_ai.datasets import Column, Dataset, Schema, from_rows
from lepton_ai.errors import InvalidInput
from lepton_ai.models import KeywordSpotter
from lepton_ai.models.keyword import RelativeLoudness, SpectrogramNoise
from tests.unit.models.served import assert_served_alike

SCHEMA = Schema((Column("sound", "sound"), Column("word", "category", "target")))
PITCH_HZ = {"low": 300, "high": 1500}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tone(pitch_hz: float, *, loudness: float, seconds: float, silence_s: float = 0.0) -> bytes:
    time = np.arange(int(8000 * seconds)) / 8000
    samples = np.pad(loudness * np.sin(2 * np.pi * pitch_hz * time), (int(8000 * silence_s), 0))
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def tones(rows: int = 32) -> Dataset:
    random = np.random.default_rng(0)
    names = [tuple(PITCH_HZ)[number % 2] for number in range(rows)]
    sounds = [
        tone(PITCH_HZ[name] * random.uniform(0.9, 1.1), loudness=random.uniform(0.1, 0.9), seconds=0.2)
        for name in names
    ]
    return from_rows(({"sound": sound, "word": name} for sound, name in zip(sounds, names, strict=True)), SCHEMA)


def test_sounds_are_told_apart_and_served_with_the_same_answers(tmp_path: Path) -> None:
    data, model = tones(), KeywordSpotter(seconds=0.3, mels=20, channels=8, blocks=2)
    model.fit(data, epochs=8, batch_size=8, learning_rate=0.01, progress=False)
    assert model.evaluate(data).metrics["accuracy"] >= 0.9
    late = tone(1500, loudness=0.2, seconds=0.2, silence_s=0.5)  # silence is no part of it
    assert model.predict(late).label == "high"
    assert_served_alike(model, data, tmp_path)


def test_how_loud_a_sound_is_makes_no_difference() -> None:
    spectrogram = torch.randn(2, 5, 7) * 3
    same = RelativeLoudness()(spectrogram)
    torch.testing.assert_close(RelativeLoudness()(spectrogram + 4.0), same)
    assert float(same.max()) == 1.0
    assert float(RelativeLoudness()(torch.tensor([[[0.0, -100.0]]])).min()) == -1.0


def test_spectrograms_are_varied_in_training_only_and_by_the_seed() -> None:
    noise, spectrogram = SpectrogramNoise(1.0), torch.rand(3, 20, 30)
    assert noise.eval()(spectrogram) is spectrogram
    assert SpectrogramNoise(0.0).train()(spectrogram) is spectrogram
    noise.train()
    first, second, again = (_seeded(noise, spectrogram, seed) for seed in (1, 2, 1))
    assert first.shape == spectrogram.shape
    assert not torch.equal(first, second)
    torch.testing.assert_close(again, first)


def _seeded(noise: SpectrogramNoise, spectrogram: torch.Tensor, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    varied: torch.Tensor = noise(spectrogram)
    return varied


def test_a_sound_may_have_several_labels() -> None:
    data = from_rows({"sound": row["sound"], "y": [row["word"], "tone"]} for row in tones(16))
    model = KeywordSpotter(seconds=0.3, mels=20, channels=8, blocks=1)
    model.fit(data, epochs=1, batch_size=8, progress=False)
    assert model.classes_ == ("high", "low", "tone")


def test_numbers_are_refused_with_what_learns_them() -> None:
    data = from_rows({"sound": row["sound"], "y": number / 7} for number, row in enumerate(tones(16)))
    with pytest.raises(InvalidInput, match=r"y: holds numbers, and this model tells classes apart\. la\.wrap"):
        KeywordSpotter().fit(data)
