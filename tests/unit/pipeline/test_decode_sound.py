"""decode_sound: what is read, what is refused, and that limits hold before samples are allocated."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Limits, Pipeline, Processed
from tests.unit.pipeline.sounds import encoded, flac_header, tone, wav_header

FORMATS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "")]


def processed_sound(data: Any, *, limits: Limits | None = None, **parameters: Any) -> Processed:
    steps = [
        {"op": "decode_sound", **parameters},
        {"op": "resample", "rate": 16_000},
        {"op": "sound_tensor", "output": "samples"},
    ]
    pipeline = Pipeline.load({"inputs": {"声音": "sound"}, "steps": steps})
    return pipeline.run({"声音": data}, limits=limits or Limits())


def decoded(data: Any, *, limits: Limits | None = None, **parameters: Any) -> Any:
    return processed_sound(data, limits=limits, **parameters).tensors["samples"]


def refusal(data: Any, **parameters: Any) -> str:
    with pytest.raises(InvalidInput) as raised:
        decoded(data, **parameters)
    assert raised.value.fields[0].field == "inputs.声音"
    assert raised.value.fix
    return raised.value.reason


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
def test_every_format_gives_the_samples_that_were_encoded(file_format: str, subtype: str) -> None:
    samples = decoded(encoded(tone(), file_format, subtype=subtype))
    assert samples.dtype == np.float32
    assert len(samples) == 8000
    np.testing.assert_allclose(samples[1000:7000], tone()[1000:7000], atol=0.05)


@pytest.mark.parametrize("dtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_wav_samples_of_any_type_are_scaled_to_one(dtype: str) -> None:
    np.testing.assert_allclose(decoded(encoded(tone(), subtype=dtype)), tone(), atol=0.02)


def test_channels_are_mixed_or_one_is_chosen() -> None:
    stereo = np.stack([tone(level=0.5), np.zeros(8000, np.float32)], axis=1)
    data = encoded(stereo, subtype="FLOAT")
    np.testing.assert_array_equal(decoded(data), stereo[:, 0] / 2)
    np.testing.assert_array_equal(decoded(data, channel=0), stereo[:, 0])
    np.testing.assert_array_equal(decoded(data, channel=1), stereo[:, 1])
    assert refusal(data, channel=2) == "NO_SUCH_CHANNEL"


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
def test_a_file_cut_anywhere_is_refused_or_its_end_is_named_and_never_taken_for_a_shorter_sound(
    file_format: str, subtype: str
) -> None:
    data = encoded(tone(0.2), file_format, subtype=subtype)
    entire = decoded(data)
    for length in (len(data) - 1, len(data) * 3 // 4, len(data) // 2, 100, 45, 13):
        try:
            processed = processed_sound(data[:length])
        except InvalidInput as error:
            assert error.reason in ("UNREADABLE_SOUND", "NOT_A_SOUND", "EMPTY_SOUND"), length
        else:
            assert [anomaly.reason for anomaly in processed.anomalies] == ["CUT_SOUND"], length
            samples = processed.tensors["samples"]
            assert len(samples) < len(entire)
            np.testing.assert_array_equal(samples, entire[: len(samples)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EMPTY_SOUND"),
        (wav_header(), "EMPTY_SOUND"),
        (b"not a sound at all", "NOT_A_SOUND"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "NOT_A_SOUND"),
        (b"RIFF\x00\x00\x00\x00WAVE", "UNREADABLE_SOUND"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00", "UNREADABLE_SOUND"),
        (wav_header(data_bytes=1000, content=bytes(1)), "EMPTY_SOUND"),
        (wav_header(data_bytes=4, channels=0, content=bytes(4)), "UNREADABLE_SOUND"),
        (wav_header(data_bytes=4, rate_hz=0, content=bytes(4)), "UNUSUAL_SOUND"),
        (wav_header(data_bytes=4, rate_hz=10_000_000, content=bytes(4)), "UNUSUAL_SOUND"),
        (wav_header(data_bytes=400, channels=100, content=bytes(400)), "UNUSUAL_SOUND"),
        (flac_header(frames=1000), "UNREADABLE_SOUND"),
        (flac_header(frames=0), "UNKNOWN_LENGTH"),
        ("a text", "WRONG_KIND"),
        (5, "WRONG_KIND"),
        (None, "MISSING_INPUT"),
    ],
)
def test_what_is_not_a_whole_sound_is_refused(data: Any, reason: str) -> None:
    assert refusal(data) == reason


@pytest.mark.parametrize("value", [np.nan, np.inf, 30_000.0])
def test_samples_that_are_no_numbers_or_were_never_scaled_are_refused(value: float) -> None:
    samples = tone()
    samples[100] = value
    assert refusal(encoded(samples, subtype="FLOAT")) == "OUT_OF_SCALE"


def test_a_wav_that_was_piped_and_declares_no_length_is_read_to_its_end() -> None:
    content = (tone(0.1) * 32767).astype("<i2").tobytes()
    assert len(decoded(wav_header(data_bytes=0xFFFFFFFF, content=content))) == 1600


class TestLimits:
    def test_the_declared_length_is_refused_before_anything_is_allocated(self) -> None:
        tracemalloc.start()
        assert refusal(flac_header(frames=(1 << 36) - 1)) == "SOUND_TOO_LONG"
        assert refusal(flac_header(frames=1 << 24, channels=8)) == "SOUND_TOO_LONG"
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 1 << 20

    @pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
    def test_seconds(self, file_format: str, subtype: str) -> None:
        data = encoded(tone(0.5), file_format, subtype=subtype)
        assert len(decoded(data, limits=Limits(max_seconds=0.7))) == 8000
        assert refusal(data, limits=Limits(max_seconds=0.4)) == "SOUND_TOO_LONG"

    def test_samples_count_in_all_channels(self) -> None:
        stereo = encoded(np.stack([tone(), tone()], axis=1))
        assert len(decoded(stereo, limits=Limits(max_samples=16_000))) == 8000
        assert refusal(stereo, limits=Limits(max_samples=15_999)) == "SOUND_TOO_LONG"

    def test_bytes(self) -> None:
        with pytest.raises(InvalidInput) as raised:
            decoded(encoded(tone()), limits=Limits(max_item_bytes=1000))
        assert raised.value.reason == "ITEM_TOO_LARGE"


@settings(deadline=None)
@given(data=st.data())
def test_damaged_files_are_decoded_or_refused_and_nothing_else(data: st.DataObject) -> None:
    file_format, subtype = data.draw(st.sampled_from(FORMATS))
    content = bytearray(encoded(tone(0.1), file_format, subtype=subtype))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        samples = decoded(bytes(content))
    except InvalidInput as error:
        assert error.fix
    else:
        assert np.isfinite(samples).all()


@settings(deadline=None)
@given(
    data=st.binary(max_size=200),
    head=st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"ID3", b"\xff\xfb"]),
)
def test_garbage_is_refused(data: bytes, head: bytes) -> None:
    with pytest.raises(InvalidInput):
        decoded(head + data)
