"""A decoded sound, and what is done to its samples: mixing, trimming, cutting and padding, all in numpy."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 192_000
"""Sample rates that sounds may have."""
_LOUDNESS_WINDOW_S = 0.02
_CANCELLED = 1e-3
"""Share of the channels' power that is left in their mean, −30 dB. Of 32 channels without relation 1/32 is left."""


class Sound(NamedTuple):
    """One channel of FP32 samples, full scale being −1 … 1."""

    samples: Samples
    rate_hz: int

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.samples) / self.rate_hz


def mixed(frames: Samples, channel: int | None) -> Samples:
    """One channel of (frames, channels), or the mean of all."""
    if channel is not None or frames.shape[1] == 1:
        return np.ascontiguousarray(frames[:, channel or 0])
    mean: Samples = frames.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean


def cancel_out(frames: Samples, mean: Samples) -> bool:
    """Whether the channels of (frames, channels) are in opposite phase, so that next to nothing is left in their mean.

    Channels that are silent themselves do not cancel out.
    """
    if frames.shape[1] == 1:
        return False
    power = float(np.vdot(frames, frames)) / frames.shape[1]
    return power > 0 and float(np.vdot(mean, mean)) < _CANCELLED * power


def trimmed(sound: Sound, *, threshold_db: float) -> Sound | None:
    """Without the beginning and end that are `threshold_db` quieter than the loudest 20 ms; None when all is silent.

    Loudness is the mean square of windows of 20 ms that follow one another, as in librosa's and SoX's trimming; what
    is left begins and ends at a window's border.
    """
    window = max(1, round(_LOUDNESS_WINDOW_S * sound.rate_hz))
    starts = np.arange(0, len(sound.samples), window)
    squares = np.square(sound.samples, dtype=np.float64)
    lengths = np.diff(starts, append=len(sound.samples))
    power = np.add.reduceat(squares, starts) / lengths
    if power.max() == 0:
        return None
    loud = np.flatnonzero(power >= power.max() * 10 ** (-threshold_db / 10))
    return Sound(sound.samples[starts[loud[0]] : starts[loud[-1]] + window], sound.rate_hz)


def fitted(sound: Sound, *, seconds: float, align: Literal["start", "center"]) -> Sound:
    """Exactly `seconds` long: cut, or padded with silence, at the end or at both ends alike."""
    wanted, have = sample_count(seconds, sound.rate_hz), len(sound.samples)
    if have >= wanted:
        begin = (have - wanted) // 2 if align == "center" else 0
        return Sound(sound.samples[begin : begin + wanted], sound.rate_hz)
    before = (wanted - have) // 2 if align == "center" else 0
    return Sound(np.pad(sound.samples, (before, wanted - have - before)), sound.rate_hz)


def sample_count(seconds: float, rate_hz: int) -> int:
    """Samples in that time, at least one."""
    return max(1, round(seconds * rate_hz))
