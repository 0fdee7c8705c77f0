"""Spoken English digits: many synthetic voices to train on, the few recordings of people to test on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.ready.described import ReadySet, as_dataset
from lepton_ai.datasets.ready.sources import DATA_DIRECTORY_VARIABLE, data_folders
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.synthetic.voices import plan, speak, wav

RATE_HZ = 8000
"""The recordings' rate, which is a telephone's; the synthetic voices are brought to it."""

_FOLDER = "spoken-digits"
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_CLASSES = tuple("0123456789")
_SYSTEM_FOLDER = Path("/usr/share/asterisk/sounds/en_US_f_Allison/digits")
_SYSTEM_SPEAKER = "Allison"
_RECORDING = re.compile(r"(?P<digit>\d)(_(?P<speaker>[^_]+)_\d+)?\.wav")
_INSTALL_RECORDINGS = "apt-get install asterisk-core-sounds-en-wav"
_ORIGINS = ("synthetic", "human")
_SCHEMA = Schema(
    (
        Column("sound", "sound"),
        Column("digit", "category", "target", _CLASSES),
        Column("speaker", "category", "group"),
        Column("origin", "category", "ignore", _ORIGINS),
    )
)


class SpokenDigits(metaclass=ReadySet):
    """Short clips of somebody saying a digit in English, 8,000 samples a second."""

    description = (
        "spoken English digits, 8 kHz, 16 bits. To train: clips that espeak-ng speaks when they are asked for, in 616 "
        "synthetic voices of varied speed, pitch, loudness and pauses. To test: recordings of a person, ten of them, "
        "so that one clip is ten points of accuracy; or synthetic voices that training does not hear."
    )
    source = (
        "espeak-ng, package espeakng-loader or Debian package espeak-ng; recordings of Allison Smith, Debian package "
        "asterisk-core-sounds-en-wav; or your own, also in the layout of the Free Spoken Digit Dataset (7_name_0.wav)"
    )
    license = "recordings CC BY-SA 3.0; clips made with espeak-ng, which is GPL-3.0-or-later, are yours"

    @classmethod
    def load(cls, root: str | Path | None = None, *, count: int = 2000, seed: int = 0) -> Dataset:
        """The synthetic clips, then the recordings. Raises NotFound that says what to install."""
        return Dataset.concat([cls.synthetic(count, seed=seed), cls.recordings(root)])

    @classmethod
    def split(
        cls,
        root: str | Path | None = None,
        *,
        seed: int = 0,
        count: int = 2000,
        test: Literal["recordings", "voices"] = "recordings",
    ) -> tuple[Dataset, Dataset]:
        """`count` synthetic clips to train, and people's recordings to test.

        With test="voices" the test part is a fifth of the synthetic clips, of voices that the training part does not
        have; how well people are understood is then not known. Raises NotFound that says what to install.
        """
        if test not in ("recordings", "voices"):
            raise InvalidInput.of_field("test", f"{test!r} is unknown", fix="Use recordings or voices.")
        if test == "recordings":
            recordings = cls.recordings(root)  # first, since they are what most often is not there
            return cls.synthetic(count, seed=seed), recordings
        return cls.synthetic(count, seed=seed).split(0.2, seed=seed)

    @classmethod
    def synthetic(cls, count: int = 2000, *, seed: int = 0) -> Dataset:
        """Clips of synthetic voices, as many of each digit; the same for the same seed and version of espeak-ng."""
        if count < len(_CLASSES):
            raise InvalidInput.of_field(
                "count", f"{count} clips are too few", fix="Ask for at least one of each digit."
            )
        random = np.random.default_rng(seed)
        digits = random.permutation(np.arange(count) % len(_CLASSES))
        utterances = plan([_WORDS[digit] for digit in digits], random)
        clips = [wav(clip, rate_hz=RATE_HZ) for clip in speak(utterances, rate_hz=RATE_HZ, random=random)]
        speakers = [each.voice for each in utterances]
        return _dataset(clips, [_CLASSES[digit] for digit in digits], speakers, "synthetic")

    @classmethod
    def recordings(cls, root: str | Path | None = None) -> Dataset:
        """Recordings of people, sorted by the name of the file. Raises NotFound that says what to install."""
        found = _find_recordings(root)
        clips = [path.read_bytes() for path, _ in found]
        digits = [match["digit"] for _, match in found]
        speakers = [match["speaker"] or _SYSTEM_SPEAKER for _, match in found]
        return _dataset(clips, digits, speakers, "human")


def _dataset(clips: Sequence[bytes], digits: Sequence[str], speakers: Sequence[str], origin: str) -> Dataset:
    columns = {
        "sound": pa.array(clips, pa.binary()),
        "digit": pa.array(digits),
        "speaker": pa.array(speakers),
        "origin": pa.array([origin] * len(clips)),
    }
    return as_dataset(SpokenDigits, columns, _SCHEMA, part=origin)


def _find_recordings(root: str | Path | None) -> list[tuple[Path, re.Match[str]]]:
    folders = [Path(root)] if root is not None else [*data_folders(_FOLDER), _SYSTEM_FOLDER]
    for folder in (each for parent in folders for each in (parent, parent / "digits", parent / "recordings")):
        found = [(path, match) for path in sorted(folder.glob("*.wav")) if (match := _RECORDING.fullmatch(path.name))]
        if {match["digit"] for _, match in found} == set(_CLASSES):
            return found
    where = "on this machine" if root is None else "in the folder given as root"
    raise NotFound(
        f"There are no recordings of all ten spoken digits {where}.",
        reason="DATA_NOT_INSTALLED" if root is None else "DATA_NOT_FOUND",
        fix=f"Install them: {_INSTALL_RECORDINGS}; or name a folder with 0.wav to 9.wav, or 0_name_0.wav and so on, "
        f'with root= or {DATA_DIRECTORY_VARIABLE}; or test on synthetic voices: split(test="voices").',
    )
