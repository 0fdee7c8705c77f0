"""Decodes untrusted sounds with libsndfile. The only file here that needs it, imported when the first sound runs."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import soundfile

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.operation import Call
from lepton_ai.pipeline.sound_files import (
    MAX_SOUNDS,
    BrokenHeader,
    SoundPart,
    TooManySounds,
    UnknownFormat,
    UnknownLength,
    flac,
    read_parts,
)
from lepton_ai.pipeline.waveform import MAX_RATE_HZ, MIN_RATE_HZ, Samples, Sound, cancel_out, mixed

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


class _Incomplete(ValueError):
    """Fewer samples than declared could be decoded."""


def decode(data: bytes, call: Call, *, channel: int | None) -> Sound:
    """One channel, or the mean of all when `channel` is None, of all sounds in the file, one after the other.

    Raises InvalidInput; never returns part of a sound without an anomaly that says so.
    """
    parts = _checked_parts(data, call)
    sounds: list[Sound] = []
    cancelled = False
    for number, part in enumerate(parts):
        parts[number], rate_hz, frames = _decoded(part, call, behind=sum(len(sound.samples) for sound in sounds))
        _check_samples(frames, call)
        sounds.append(Sound(mixed(frames, _chosen(channel, frames, call)), rate_hz))
        cancelled = cancelled or (channel is None and cancel_out(frames, sounds[-1].samples))
    sound = _joined(sounds, call)
    _flag_endings(parts, sound, call)
    if cancelled:
        call.flag(
            "OPPOSITE_PHASE",
            "The channels are in opposite phase and cancel each other out: their mean is silent. Choose one channel.",
        )
    return sound


def _decoded(part: SoundPart, call: Call, *, behind: int) -> tuple[SoundPart, int, Samples]:
    """What was decoded in the end, its rate, and its samples (frames, channels)."""
    try:
        return part, *_read(part, call, behind=behind)
    except _DECODER_ERRORS:
        shortened = flac.shortened_to_whole_frames(part) if part.format == "FLAC" else None
        # The reader's own text may quote content, so none of it goes out.
        if shortened is None:
            raise _unreadable(call) from None
    try:
        return shortened, *_read(shortened, call, behind=behind)
    except _DECODER_ERRORS:
        raise _unreadable(call) from None


def _read(part: SoundPart, call: Call, *, behind: int) -> tuple[int, Samples]:
    with soundfile.SoundFile(_Source(part.content)) as file:
        declared = file.frames if part.frames is None else min(file.frames, part.frames)
        _check_size(file.samplerate, file.channels, file.frames, call, behind=behind)
        # of some formats it reads only as much as one says
        frames: Samples = file.read(file.frames, dtype="float32", always_2d=True)
    if part.left_out:
        frames = np.pad(frames, ((part.left_out, 0), (0, 0)))
    if len(frames) < declared:
        raise _Incomplete
    return file.samplerate, frames


def _checked_parts(data: bytes, call: Call) -> list[SoundPart]:
    if not data:
        raise call.refusal("is empty", reason="EMPTY_SOUND", fix="Send the bytes of a sound file.")
    try:
        parts = read_parts(data)
    except UnknownFormat:
        raise call.refusal(
            "is not a WAV, FLAC, Ogg or MP3 file", reason="NOT_A_SOUND", fix="Send a WAV, FLAC, Ogg or MP3 file."
        ) from None
    except UnknownLength:
        raise call.refusal(
            "does not say how long it is", reason="UNKNOWN_LENGTH", fix="Encode it into a file, not into a pipe."
        ) from None
    except TooManySounds:
        raise call.refusal(
            f"holds more than {MAX_SOUNDS} sounds one after the other",
            reason="TOO_MANY_SOUNDS",
            fix="Send them one by one.",
        ) from None
    except (BrokenHeader, LookupError):
        raise _unreadable(call) from None
    for part in parts:
        _check_size(part.rate_hz, part.channels, part.frames, call)
    return parts


def _check_size(rate_hz: int, channels: int, frames: int | None, call: Call, *, behind: int = 0) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or not 1 <= channels <= _MAX_CHANNELS:
        raise call.refusal(
            f"has {rate_hz} samples a second and {channels} channels, allowed are "
            f"{MIN_RATE_HZ} to {MAX_RATE_HZ} and at most {_MAX_CHANNELS}",
            reason="UNUSUAL_SOUND",
            fix="Convert it to an ordinary sample rate and number of channels.",
        )
    if frames == 0:
        raise call.refusal("holds no samples", reason="EMPTY_SOUND", fix="Send a sound that is not empty.")
    if frames is not None:
        call.check_sound(behind + frames, rate_hz, channels=channels)


def _chosen(channel: int | None, frames: Samples, call: Call) -> int | None:
    if channel is not None and channel >= frames.shape[1]:
        raise call.refusal(
            f"has {frames.shape[1]} channels, there is no channel {channel}",
            reason="NO_SUCH_CHANNEL",
            fix="Send a sound with more channels, or let the pipeline mix them.",
        )
    return channel


def _check_samples(frames: Samples, call: Call) -> None:
    peak = np.maximum(frames.max(), -frames.min())  # NaN when any sample is
    if not peak <= _FULL_SCALE_MAX:
        raise call.refusal(
            "holds samples that are not numbers or far beyond full scale",
            reason="OUT_OF_SCALE",
            fix="Scale the samples to −1 … 1.",
        )


def _joined(sounds: list[Sound], call: Call) -> Sound:
    if len(sounds) == 1:
        return sounds[0]
    rates_hz = sorted({sound.rate_hz for sound in sounds})
    if len(rates_hz) > 1:
        raise call.refusal(
            f"holds sounds of {' and '.join(map(str, rates_hz))} samples a second one after the other",
            reason="MIXED_RATES",
            fix="Send them one by one, or encode them together.",
        )
    call.flag("JOINED_SOUNDS", f"The file holds {len(sounds)} sounds one after the other; all of them were read.")
    return Sound(np.concatenate([sound.samples for sound in sounds]), rates_hz[0])


def _flag_endings(parts: list[SoundPart], sound: Sound, call: Call) -> None:
    endings = {part.ending for part in parts}
    if parts[0].lacks_beginning:
        call.flag("CUT_SOUND", "The beginning is cut off, within a frame: what follows was read.")
    if "cut" in endings:
        call.flag("CUT_SOUND", f"The end is cut off: the {sound.seconds:.2f} s that the file holds were read.")
    if "unfinished" in endings:
        call.flag(
            "UNFINISHED_SOUND",
            f"The header does not say how long the sound is, as when a recorder is killed: the file was read to its "
            f"end, {sound.seconds:.2f} s.",
        )


def _unreadable(call: Call) -> InvalidInput:
    return call.refusal(
        "is truncated or damaged: it cannot be decoded completely",
        reason="UNREADABLE_SOUND",
        fix="Check that the whole file was sent.",
    )
