"""Sound operations: decode, resample, trim, fit to a length, log-mel. Between steps a sound is one channel of FP32."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from lepton_ai.pipeline import spectrogram, waveform
from lepton_ai.pipeline.operation import UNKNOWN, Call, Misfit, Spec, ValueOperation, expect
from lepton_ai.pipeline.waveform import MAX_RATE_HZ, MIN_RATE_HZ, Sound

Rate = Annotated[int, Field(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)]


class DecodeSound(ValueOperation):
    """Decodes a WAV, FLAC, Ogg (Vorbis, Opus) or MP3 file to one channel of samples."""

    name: ClassVar[str] = "decode_sound"
    channel: Literal["mean"] | Annotated[int, Field(ge=0, le=31)] = Field(
        default="mean", description="The mean of all channels, or one of them, counted from 0."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "sound")
        if given[0].shape:
            raise Misfit("input", "is decoded already")
        return (Spec("sound", "FP32", (UNKNOWN,)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        from lepton_ai.pipeline import sound_decoding  # libsndfile only where sounds run

        return (sound_decoding.decode(values[0], call, channel=None if self.channel == "mean" else self.channel),)


class Resample(ValueOperation):
    """Brings a sound to a sample rate."""

    name: ClassVar[str] = "resample"
    rate: Rate = Field(description="Samples a second.")
    quality: Literal["LQ", "MQ", "HQ", "VHQ"] = Field(
        default="HQ", description="Of the SoX resampler: low, medium, high, very high."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        spec = _decoded(given[0])
        return (spec if spec.rate_hz == self.rate else _decoded(spec, samples=UNKNOWN, rate_hz=self.rate),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        import soxr  # only where sounds run

        sound: Sound = values[0]
        if sound.rate_hz == self.rate:
            return values
        call.check_sound(len(sound.samples) * self.rate // sound.rate_hz, self.rate)
        samples = soxr.resample(sound.samples, sound.rate_hz, self.rate, quality=self.quality)
        if not len(samples):
            raise _too_short(call)
        return (Sound(samples, self.rate),)


class TrimSilence(ValueOperation):
    """Cuts off beginning and end where they are much quieter than the loudest part."""

    name: ClassVar[str] = "trim_silence"
    threshold_db: Annotated[float, Field(gt=0, le=200)] = Field(
        default=40.0, description="How much quieter than the loudest 20 ms counts as silence."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        return (_decoded(given[0], samples=UNKNOWN),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        sound = waveform.trimmed(values[0], threshold_db=self.threshold_db)
        if sound is None:
            call.flag("SILENT_SOUND", "The sound is silent; nothing was trimmed.")
            return values
        return (sound,)


class FitLength(ValueOperation):
    """Cuts or pads a sound with silence to a length."""

    name: ClassVar[str] = "fit_length"
    seconds: Annotated[float, Field(gt=0, le=3600)] = Field(description="How long the result is.")
    align: Literal["start", "center"] = Field(default="start", description="What is kept, or where the sound goes.")

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        rate_hz = given[0].rate_hz
        samples = UNKNOWN if rate_hz == UNKNOWN else waveform.sample_count(self.seconds, rate_hz)
        return (_decoded(given[0], samples=samples),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        sound: Sound = values[0]
        wanted = waveform.sample_count(self.seconds, sound.rate_hz)
        call.check_sound(wanted, sound.rate_hz)
        if len(sound.samples) > wanted:
            call.flag("TRUNCATED_SOUND", f"The sound lasts {sound.seconds:.2f} s and was cut to {self.seconds:g} s.")
        return (waveform.fitted(sound, seconds=self.seconds, align=self.align),)


class SoundTensor(ValueOperation):
    """Hands the samples on as an FP32 vector, for models that read waveforms."""

    name: ClassVar[str] = "sound_tensor"

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        return (Spec("tensor", "FP32", _decoded(_at_known_rate(given[0])).shape),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        call.check_tensor(len(values[0].samples), 4)
        return (values[0].samples,)


class LogMel(ValueOperation):
    """Computes a log-mel spectrogram: FP32 [mels, frames], the natural logarithm of the power in each mel band."""

    name: ClassVar[str] = "log_mel"
    mels: Annotated[int, Field(ge=1, le=512)] = Field(default=64, description="How many bands.")
    window_ms: Annotated[float, Field(ge=1, le=1000)] = Field(default=25.0, description="Length of a window.")
    hop_ms: Annotated[float, Field(ge=1, le=1000)] = Field(default=10.0, description="From one window to the next.")
    low_hz: Annotated[float, Field(ge=0)] = Field(default=20.0, description="Where the lowest band begins.")
    high_hz: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Where the highest band ends; by default half the sample rate."
    )
    floor: Annotated[float, Field(ge=1e-30, le=1)] = Field(
        default=1e-10, description="Least power, so that silence has a logarithm."
    )

    @model_validator(mode="after")
    def _rising(self) -> LogMel:
        if self.high_hz is not None and self.high_hz <= self.low_hz:
            raise ValueError("high_hz must be greater than low_hz")
        return self

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        spec = _decoded(_at_known_rate(given[0]))
        nyquist_hz = spec.rate_hz / 2
        for parameter, limit_hz in (("low_hz", self.low_hz), ("high_hz", self.high_hz or 0)):
            if limit_hz > nyquist_hz or (parameter == "low_hz" and limit_hz == nyquist_hz):
                raise Misfit(parameter, f"a sound of {spec.rate_hz} samples a second ends at {nyquist_hz:g} Hz")
        (samples,) = spec.shape
        frames = UNKNOWN if samples == UNKNOWN else spectrogram.frame_count(samples, self._scale(spec.rate_hz))
        return (Spec("tensor", "FP32", (self.mels, frames), channel_axis=0),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        sound: Sound = values[0]
        scale = self._scale(sound.rate_hz)
        call.check_tensor(spectrogram.frame_count(len(sound.samples), scale) * self.mels, 4)
        return (spectrogram.log_mel(sound.samples, scale),)

    def _scale(self, rate_hz: int) -> spectrogram.MelScale:
        window = waveform.sample_count(self.window_ms / 1e3, rate_hz)
        return spectrogram.MelScale(
            rate_hz=rate_hz,
            window=window,
            hop=waveform.sample_count(self.hop_ms / 1e3, rate_hz),
            fft_size=1 << (window - 1).bit_length(),
            mels=self.mels,
            low_hz=self.low_hz,
            high_hz=self.high_hz or rate_hz / 2,
            floor=self.floor,
        )


def _decoded(spec: Spec, *, samples: int | None = None, rate_hz: int | None = None) -> Spec:
    """The sound's type with another length or rate. Raises Misfit for what is no decoded sound."""
    expect(spec, "sound")
    if not spec.shape:
        raise Misfit("input", "is still encoded", fix="Put a decode_sound step before this one.")
    shape = spec.shape if samples is None else (samples,)
    return Spec("sound", "FP32", shape, rate_hz=spec.rate_hz if rate_hz is None else rate_hz)


def _at_known_rate(spec: Spec) -> Spec:
    if _decoded(spec).rate_hz == UNKNOWN:
        raise Misfit("input", "is of any sample rate", fix="Put a resample step before this one.")
    return spec


def _too_short(call: Call) -> Exception:
    return call.refusal("is too short to be resampled", reason="EMPTY_SOUND", fix="Send a longer sound.")
