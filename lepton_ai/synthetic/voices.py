"""Synthetic voices: plans who says what and how, has espeak-ng say it in its own process, and makes clips of it."""

from __future__ import annotations

import ctypes.util
import io
import json
import struct
import subprocess
import sys
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import FailedPrecondition, NotFound
from lepton_ai.installed import package_folder

INSTALL = "pip install --no-deps espeakng-loader==0.2.4 (or apt-get install espeak-ng)"

Samples = npt.NDArray[np.int16]

_ACCENTS = (
    "en-us", "en", "en-us-nyc", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029",
)  # fmt: skip
# Voice variants that speak like people, in espeak-ng 1.51 and 1.52 alike. Robots, whispers and jokes are left out.
_VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky", "Lee",
    "Marco", "Mario", "Michael", "Mike", "Nguyen", "Storm", "adam", "anika", "antonio", "aunty", "belinda", "benjamin",
    "boris", "caleb", "david", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa", "gustave",
    "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "linda", "m1", "m2",
    "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro",
    "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "steph3", "travis", "victor", "zac",
)  # fmt: skip
_LIBRARY_NAMES = ("libespeak-ng.so", "libespeak-ng.dylib", "espeak-ng.dll")
_WORKER = Path(__file__).with_name("espeak.py")
_TIMEOUT_S = 300.0
_MOST_PAUSE_S = 0.25
_QUIETEST, _LOUDEST = 0.15, 0.95


@dataclass(frozen=True)
class Utterance:
    """One text, spoken by one voice in one way."""

    voice: str
    text: str
    rate_words_per_minute: int
    pitch: int
    pitch_range: int


def plan(texts: Sequence[str], random: np.random.Generator) -> list[Utterance]:
    """Every text with a voice, speed, pitch and melody of its own."""
    return [
        Utterance(
            voice=f"{_ACCENTS[random.integers(len(_ACCENTS))]}+{_VARIANTS[random.integers(len(_VARIANTS))]}",
            text=text,
            rate_words_per_minute=int(random.integers(100, 221)),
            pitch=int(random.integers(20, 81)),
            pitch_range=int(random.integers(20, 81)),
        )
        for text in texts
    ]


def speak(utterances: Sequence[Utterance], *, rate_hz: int, random: np.random.Generator) -> Iterator[Samples]:
    """The clips, resampled, each with a loudness of its own and pauses around it.

    Raises NotFound that says what to install, FailedPrecondition when espeak-ng is there and does not work.
    """
    import soxr

    spoken_hz, clips = _synthesise(utterances)
    for clip in clips:
        sound = soxr.resample(clip.astype(np.float32), spoken_hz, rate_hz)
        peak = max(1.0, float(np.abs(sound).max(initial=0.0)))
        sound = sound * (32767 / peak * random.uniform(_QUIETEST, _LOUDEST))
        before, after = (random.uniform(0, _MOST_PAUSE_S, 2) * rate_hz).astype(int)
        yield np.pad(np.rint(sound).astype(np.int16), (before, after))


def wav(samples: Samples, *, rate_hz: int) -> bytes:
    """One channel of 16-bit samples as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def find_library() -> tuple[str, str | None]:
    """The espeak-ng library and the folder above its data, None where the library knows it. Raises NotFound."""
    folder = package_folder("espeakng_loader")
    if folder is not None:
        found = next((folder / name for name in _LIBRARY_NAMES if (folder / name).is_file()), None)
        if found is not None:
            return str(found), str(folder)
    system = ctypes.util.find_library("espeak-ng")
    if system is None:
        raise NotFound(
            "The synthetic voices come from espeak-ng, which is not on this machine.",
            reason="DATA_NOT_INSTALLED",
            fix=f"Install it: {INSTALL}.",
        )
    return system, None


def _synthesise(utterances: Sequence[Utterance]) -> tuple[int, list[Samples]]:
    library, data = find_library()
    requests = [(each.voice, each.text, _settings(each)) for each in utterances]
    document = json.dumps({"library": library, "data": data, "requests": requests}).encode()
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_WORKER)], input=document, capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise FailedPrecondition(
            f"espeak-ng did not speak the words: {_why(error)}.", fix=f"Install it again: {INSTALL}."
        ) from error
    return _clips(done.stdout, len(utterances))


def _settings(utterance: Utterance) -> dict[str, int]:
    return {
        "rate": utterance.rate_words_per_minute,
        "pitch": utterance.pitch,
        "range": utterance.pitch_range,
        "volume": 80,  # the loudness is set afterwards; this only must not clip
    }


def _clips(spoken: bytes, count: int) -> tuple[int, list[Samples]]:
    (rate_hz,) = struct.unpack_from("<I", spoken)
    clips, at = [], 4
    while at < len(spoken):
        (size,) = struct.unpack_from("<I", spoken, at)
        clips.append(np.frombuffer(spoken, "<i2", count=size // 2, offset=at + 4).astype(np.int16))
        at += 4 + size
    if len(clips) != count or not all(clip.size for clip in clips):
        raise FailedPrecondition("espeak-ng left words unspoken.", fix=f"Install it again: {INSTALL}.")
    return rate_hz, clips


def _why(error: subprocess.CalledProcessError | subprocess.TimeoutExpired) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it was not done after {error.timeout:.0f} s"
    told = error.stderr.decode("utf-8", "replace").strip().splitlines()
    return told[-1][:200] if told else f"it ended with status {error.returncode}"
