"""Log-mel spectrograms: short-time Fourier transform and mel filters in numpy, without BLAS.

Without BLAS, because its results may differ in the last bit with the number of threads, and training and serving must
agree to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lepton_ai.pipeline.waveform import Samples

_FRAMES_AT_ONCE = 512
_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MelScale:
    """How a log-mel spectrogram is computed; all lengths in samples."""

    rate_hz: int
    window: int
    hop: int
    fft_size: int
    mels: int
    low_hz: float
    high_hz: float
    floor: float


def frame_count(samples: int, scale: MelScale) -> int:
    """Frames of a sound: every window that fits whole, at least one."""
    return 1 + max(0, samples - scale.window) // scale.hop


def log_mel(samples: Samples, scale: MelScale) -> npt.NDArray[np.float32]:
    """ln(max(floor, Σ_k H_m(k) · |X_t(k)|²)) as FP32 [mels, frames].

    X_t is the DFT of `fft_size` points of the t-th window, weighted with a periodic Hann window; windows are not
    padded, only a sound shorter than one is, with silence at its end. H_m are triangles of height 1, their corners
    evenly spaced on the mel scale 2595 · log10(1 + f / 700) between `low_hz` and `high_hz` (D. O'Shaughnessy, Speech
    Communication, 1987; the filter bank of HTK, and of torchaudio with mel_scale="htk", norm=None, center=False).
    """
    padded = np.pad(samples.astype(np.float64), (0, max(0, scale.window - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, scale.window)[:: scale.hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(scale.window) / scale.window)
    bank = _filter_bank(scale)
    result = np.empty((scale.mels, len(windows)), dtype=np.float32)
    for begin in range(0, len(windows), _FRAMES_AT_ONCE):
        spectrum = np.fft.rfft(windows[begin : begin + _FRAMES_AT_ONCE] * hann, n=scale.fft_size)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        mel = np.maximum(bank.applied(power), scale.floor)
        result[:, begin : begin + _FRAMES_AT_ONCE] = np.log(mel).T
    return result


def mel_edges_hz(scale: MelScale) -> _Doubles:
    """The corners of the triangles: filter m rises from the m-th to the next and falls to the one after."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (scale.low_hz, scale.high_hz))
    edges: _Doubles = 700 * (10 ** (np.linspace(low, high, scale.mels + 2) / 2595) - 1)
    return edges


@dataclass(frozen=True)
class _FilterBank:
    """Triangles that overlap by half: between two corners one filter rises and the one before it falls."""

    first: int
    last: int
    rising: _Doubles
    """For each bin from `first` to `last` its height in the filter that rises there; the other has 1 less that."""
    starts: npt.NDArray[np.intp]
    """Where each stretch between two corners begins, counted from `first`."""
    empty: npt.NDArray[np.bool_]
    """Stretches between corners so close that no bin lies there."""

    def applied(self, power: _Doubles) -> _Doubles:
        """Every filter's sum over the power of each frame: (frames, mels)."""
        within = power[:, self.first : self.last]
        rising = np.add.reduceat(within * self.rising, self.starts, axis=1)
        falling = np.add.reduceat(within * (1 - self.rising), self.starts, axis=1)
        rising[:, self.empty] = 0
        falling[:, self.empty] = 0
        sums: _Doubles = rising[:, :-1] + falling[:, 1:]
        return sums


@lru_cache(maxsize=32)
def _filter_bank(scale: MelScale) -> _FilterBank:
    edges = mel_edges_hz(scale)
    bins_hz = np.arange(scale.fft_size // 2 + 1) * (scale.rate_hz / scale.fft_size)
    bounds = np.searchsorted(bins_hz, edges)
    first = min(int(bounds[0]), len(bins_hz) - 1)
    last = max(int(bounds[-1]), first + 1)  # at least one bin, if only one that no filter takes
    stretch = np.clip(np.searchsorted(edges, bins_hz[first:last], side="right") - 1, 0, scale.mels)
    rising = (bins_hz[first:last] - edges[stretch]) / (edges[stretch + 1] - edges[stretch])
    starts = np.clip(bounds[:-1] - first, 0, last - first - 1)
    return _FilterBank(first, last, np.clip(rising, 0, 1), starts, np.diff(bounds) == 0)
