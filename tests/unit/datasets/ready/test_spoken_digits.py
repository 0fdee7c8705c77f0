"""Spoken digits: synthetic voices, and recordings of people where there are any."""

from __future__ import annotations

import io
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.datasets.ready import SpokenDigits
from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound
from lepton_ai.synthetic.voices import Utterance, find_library, speak, wav

INSTALLED = Path("/usr/share/asterisk/sounds/en_US_f_Allison/digits/0.wav").exists()


def read(clip: object) -> tuple[int, np.ndarray[tuple[int], np.dtype[np.int16]]]:
    assert isinstance(clip, bytes)
    with wave.open(io.BytesIO(clip)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    clip = wav(np.ones(800, np.int16), rate_hz=8000)
    for digit in range(10):
        for name in ("jackson", "小明"):
            (tmp_path / f"{digit}_{name}_0.wav").write_bytes(clip)
    (tmp_path / "notes.wav").write_bytes(clip)
    return tmp_path


def test_synthetic_clips_are_sounds_of_each_digit() -> None:
    data = SpokenDigits.synthetic(60)
    assert Counter(data.target_values()) == {str(digit): 6 for digit in range(10)}
    for row in data.rows(["sound"]):
        rate_hz, samples = read(row["sound"])
        assert rate_hz == 8000
        assert 0.2 < len(samples) / rate_hz < 2.5
        assert np.abs(samples.astype(np.int32)).max() > 3000


def test_the_seed_decides_who_speaks() -> None:
    assert SpokenDigits.synthetic(30, seed=1).digest == SpokenDigits.synthetic(30, seed=1).digest
    assert SpokenDigits.synthetic(30, seed=1).digest != SpokenDigits.synthetic(30, seed=2).digest


def test_voices_differ_in_more_than_their_names() -> None:
    said = [Utterance(voice, "seven", 150, 50, 50) for voice in ("en-us+f2", "en-gb-scotland+m3", "en+klatt")]
    spectra = []
    for clip in speak(said, rate_hz=8000, random=np.random.default_rng(0)):
        spectrum = np.abs(np.fft.rfft(clip.astype(np.float64), 16384))
        spectra.append(spectrum / np.linalg.norm(spectrum))
    assert max(spectra[0] @ spectra[1], spectra[1] @ spectra[2], spectra[0] @ spectra[2]) < 0.9


def test_held_out_voices_are_not_heard_in_training() -> None:
    train, test = SpokenDigits.split(test="voices", count=100)
    speakers = [{row["speaker"] for row in part.rows(["speaker"])} for part in (train, test)]
    assert not speakers[0] & speakers[1]
    assert len(train) + len(test) == 100


def test_recordings_of_people_are_the_test_part(recordings: Path) -> None:
    train, test = SpokenDigits.split(recordings, count=20)
    assert {row["origin"] for row in train.rows(["origin"])} == {"synthetic"}
    assert {row["origin"] for row in test.rows(["origin"])} == {"human"}
    assert {row["speaker"] for row in test.rows(["speaker"])} == {"jackson", "小明"}
    assert len(test) == 20
    assert len(SpokenDigits.load(recordings, count=20)) == 40


def test_recordings_that_lack_a_digit_are_not_taken(recordings: Path) -> None:
    for path in recordings.glob("7_*.wav"):
        path.unlink()
    with pytest.raises(NotFound, match="all ten spoken digits") as caught:
        SpokenDigits.recordings(recordings)
    assert "asterisk-core-sounds-en-wav" in caught.value.fix
    assert 'test="voices"' in caught.value.fix


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(InvalidInput, match="count"):
        SpokenDigits.synthetic(9)


def test_without_espeak_both_packages_that_have_it_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_ai.synthetic.voices.package_folder", lambda name: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(NotFound, match=r"espeakng-loader.*apt-get install espeak-ng"):
        SpokenDigits.synthetic(10)


def test_a_library_that_does_not_work_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libespeak-ng.so").write_text("not a library")
    monkeypatch.setattr("lepton_ai.synthetic.voices.package_folder", lambda name: tmp_path)
    assert find_library()[0].endswith("libespeak-ng.so")
    with pytest.raises(FailedPrecondition, match="did not speak the words"):
        SpokenDigits.synthetic(10)


@pytest.mark.skipif(not INSTALLED, reason="needs the Debian package asterisk-core-sounds-en-wav")
def test_the_installed_recordings_are_one_of_each_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_DATA_DIR", raising=False)
    data = SpokenDigits.recordings()
    assert list(data.target_values()) == list("0123456789")
    assert {read(row["sound"])[0] for row in data.rows(["sound"])} == {8000}
