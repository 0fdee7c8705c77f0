"""Measures pictures and sounds with the pipeline's own decoders, or says why one cannot be decoded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.media import light_of, loudness_of
from lepton_ai.pipeline.operation import Call
from lepton_ai.pipeline.values import Limits
from lepton_ai.tensors import Array

_ORIGIN = "file"
_SIDE = 16
_BANDS, _MOMENTS = 20, 8


@dataclass(frozen=True)
class Picture:
    """What checks need of a picture once it is decoded."""

    width: int
    height: int
    brightness: float
    """Mean of the grey picture, 0 black to 1 white."""
    contrast: float
    """Standard deviation of the same; near 0 when nothing is on it."""
    grey: Array
    """16 × 16 grey pixels, uint8."""
    colours: Array
    """4 × 4 × 3 pixels, uint8."""
    fingerprint: int
    """64 bits that stay when a picture is resized or saved again: a difference hash (N. Krawetz, 2013)."""
    doubts: tuple[str, ...] = ()
    """What the decoder said of it, as serving would say it with a prediction."""


@dataclass(frozen=True)
class Clip:
    """What checks need of a sound once it is decoded."""

    seconds: float
    rate_hz: int
    loudness: float
    """Root of the mean square; full scale is 1."""
    spectrum: Array
    """Mean log energy in 20 bands over 8 parts of the time, float32."""
    doubts: tuple[str, ...] = ()
    """What the decoder said of it, as serving would say it with a prediction."""


@dataclass(frozen=True)
class Broken:
    """A file that the pipeline would refuse."""

    reason: str


def measure_picture(data: bytes) -> Picture | Broken:
    """A decoded picture in figures."""
    from lepton_ai.pipeline.pixels import Look, decode

    call = _call()
    try:
        image = decode(data, call, Look())
    except InvalidInput as error:
        return Broken(_reason(error))
    grey = image.convert("L")
    brightness, contrast = light_of(np.asarray(grey))
    steps = np.asarray(grey.resize((9, 8)), dtype=np.int16)
    bits = (steps[:, 1:] > steps[:, :-1]).ravel()
    return Picture(
        width=image.width,
        height=image.height,
        brightness=brightness,
        contrast=contrast,
        grey=np.asarray(grey.resize((_SIDE, _SIDE)), dtype=np.uint8),
        colours=np.asarray(image.resize((4, 4)), dtype=np.uint8),
        fingerprint=int.from_bytes(np.packbits(bits).tobytes(), "big"),
        doubts=_doubts(call),
    )


def measure_sound(data: bytes) -> Clip | Broken:
    """A decoded sound in figures."""
    from lepton_ai.pipeline.sound_decoding import decode

    call = _call()
    try:
        sound = decode(data, call, channel=None)
    except InvalidInput as error:
        return Broken(_reason(error))
    samples = np.asarray(sound.samples, dtype=np.float32)
    seconds = len(samples) / sound.rate_hz
    return Clip(seconds, sound.rate_hz, loudness_of(samples), _spectrum(samples), _doubts(call))


def thumbnail(data: bytes, side_pixels: int) -> bytes | None:
    """A small picture as a JPEG file; None when it cannot be decoded."""
    from io import BytesIO

    from lepton_ai.pipeline.pixels import Look, decode

    try:
        image = decode(data, _call(), Look())
    except InvalidInput:
        return None
    scale = side_pixels / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    smooth = 1 if scale < 1 else 0  # Lanczos; a picture of 28 pixels is clearer with its pixels seen
    out = BytesIO()
    image.resize(size, smooth).save(out, "JPEG", quality=82)
    return out.getvalue()


def waveform(data: bytes, points: int) -> Array | None:
    """The peaks of a sound in equal parts of its time; None when it cannot be decoded."""
    from lepton_ai.pipeline.sound_decoding import decode

    try:
        samples = np.abs(np.asarray(decode(data, _call(), channel=None).samples))
    except InvalidInput:
        return None
    edges = np.linspace(0, len(samples), points + 1).astype(int)
    return np.array([samples[a : max(b, a + 1)].max(initial=0.0) for a, b in pairwise(edges)])


def _spectrum(samples: Array) -> Array:
    window = max(64, min(1024, len(samples) // _MOMENTS))
    frames = max(1, len(samples) // window)
    padded = np.zeros(frames * window, np.float32)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    energy = np.abs(np.fft.rfft(padded.reshape(frames, window) * np.hanning(window), axis=1)) ** 2
    edges = np.unique(np.geomspace(1, energy.shape[1], _BANDS + 1).astype(int))
    bands = np.stack([energy[:, a:b].sum(axis=1) for a, b in pairwise(edges)], axis=1)
    bands = np.pad(np.log(bands + 1e-8), ((0, 0), (0, _BANDS - bands.shape[1])), mode="edge")
    moments = np.array_split(np.arange(frames), _MOMENTS) if frames >= _MOMENTS else [np.arange(frames)] * _MOMENTS
    return np.asarray(np.stack([bands[moment].mean(axis=0) for moment in moments]), dtype=np.float32)


def _call() -> Call:
    return Call(Limits(), origins=(_ORIGIN,))


def _doubts(call: Call) -> tuple[str, ...]:
    return tuple(anomaly.problem for anomaly in call.anomalies)


def _reason(error: InvalidInput) -> str:
    return error.fields[0].description if error.fields else error.message
