"""Decodes untrusted sounds with libsndfile. The only file here that needs soundfile, imported when one runs."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import soundfile

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.operation import Call
from lepton_ai.pipeline.sound_header import BrokenHeader, SoundHeader, UnknownFormat, UnknownLength, read_header
from lepton_ai.pipeline.waveform import MAX_RATE_HZ, MIN_RATE_HZ, Samples, Sound, mixed

_MAX_CHANNELS = 32
_FULL_SCALE_MAX = 8.0
"""Lossy decoders overshoot full scale a little. What is far beyond it was never scaled to it."""
# What soundfile raises for content that is not what the header promised (found by fuzzing and in its source).
_DECODER_ERRORS = (soundfile.SoundFileError, OSError, ValueError, TypeError, ArithmeticError, RuntimeError,
                   AssertionError, MemoryError)  # fmt: skip


class _Source(BytesIO):
    """Bytes as a file for libsndfile, whose readers seek anywhere when content is damaged."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):  # stays where it is, by which libsndfile sees that it failed
            return self.tell()


def decode(data: bytes, call: Call, *, channel: int | None) -> Sound:
    """One channel, or the mean of all when `channel` is None. Raises InvalidInput; never returns part of a sound."""
    header = _checked_header(data, call)
    if channel is not None and channel >= header.channels:
        raise call.refusal(
            f"has {header.channels} channels, there is no channel {channel}",
            reason="NO_SUCH_CHANNEL",
            fix="Send a sound with more channels, or let the pipeline mix them.",
        )
    try:
        with soundfile.SoundFile(_Source(data)) as file:
            rate_hz, declared = file.samplerate, min(file.frames, header.frames or file.frames)
            _check_size(SoundHeader(header.format, rate_hz, file.channels, file.frames), call)
            frames: Samples = file.read(dtype="float32", always_2d=True)
    except _DECODER_ERRORS:
        # The reader's own text may quote content, so none of it goes out.
        raise _unreadable(call) from None
    if len(frames) < declared:
        raise _unreadable(call)
    _check_samples(frames, call)
    return Sound(mixed(frames, channel), rate_hz)


def _checked_header(data: bytes, call: Call) -> SoundHeader:
    if not data:
        raise call.refusal("is empty", reason="EMPTY_SOUND", fix="Send the bytes of a sound file.")
    try:
        header = read_header(data)
    except UnknownFormat:
        raise call.refusal(
            "is not a WAV, FLAC, Ogg or MP3 file", reason="NOT_A_SOUND", fix="Send a WAV, FLAC, Ogg or MP3 file."
        ) from None
    except UnknownLength:
        raise call.refusal(
            "does not say how long it is", reason="UNKNOWN_LENGTH", fix="Encode it into a file, not into a pipe."
        ) from None
    except (BrokenHeader, LookupError):
        raise _unreadable(call) from None
    _check_size(header, call)
    return header


def _check_size(header: SoundHeader, call: Call) -> None:
    if not MIN_RATE_HZ <= header.rate_hz <= MAX_RATE_HZ or not 1 <= header.channels <= _MAX_CHANNELS:
        raise call.refusal(
            f"has {header.rate_hz} samples a second and {header.channels} channels, allowed are "
            f"{MIN_RATE_HZ} to {MAX_RATE_HZ} and at most {_MAX_CHANNELS}",
            reason="UNUSUAL_SOUND",
            fix="Convert it to an ordinary sample rate and number of channels.",
        )
    if header.frames == 0:
        raise call.refusal("holds no samples", reason="EMPTY_SOUND", fix="Send a sound that is not empty.")
    if header.frames is not None:
        call.check_sound(header.frames, header.rate_hz, channels=header.channels)


def _check_samples(frames: Samples, call: Call) -> None:
    peak = np.maximum(frames.max(), -frames.min())  # NaN when any sample is
    if not peak <= _FULL_SCALE_MAX:
        raise call.refusal(
            "holds samples that are not numbers or far beyond full scale",
            reason="OUT_OF_SCALE",
            fix="Scale the samples to −1 … 1.",
        )


def _unreadable(call: Call) -> InvalidInput:
    return call.refusal(
        "is truncated or damaged: it cannot be decoded completely",
        reason="UNREADABLE_SOUND",
        fix="Check that the whole file was sent.",
    )
