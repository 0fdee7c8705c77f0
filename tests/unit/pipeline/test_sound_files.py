"""Sounds as found: what was joined, tagged, cut or never finished is read as players do, and an anomaly says so."""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Limits, Pipeline
from tests.unit.pipeline.sounds import chunk, encoded, flac_header, mp3_frames, tone, wav_header, with_lengths

STEPS: list[dict[str, Any]] = [
    {"op": "decode_sound"},
    {"op": "resample", "rate": 16_000},
    {"op": "sound_tensor", "output": "samples"},
]
PIPELINE = Pipeline.load({"inputs": {"clip": "sound"}, "steps": STEPS})
FORMATS = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "")]

NOISE = np.asarray(np.random.default_rng(7).normal(0, 0.1, 48_000), dtype=np.float32)
PCM = (NOISE * 32767).astype("<i2").tobytes()
LAYOUT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
ID3V2 = b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10)
ID3V1 = b"TAG" + b"song".ljust(125)
APE = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
LYRICS = b"LYRICSBEGINla la la000011LYRICS200"


def decoded(data: bytes, *, limits: Limits | None = None) -> tuple[npt.NDArray[Any], list[str]]:
    """The samples, and the reasons of the anomalies."""
    processed = PIPELINE.run({"clip": data}, limits=limits or Limits())
    return processed.tensors["samples"], [anomaly.reason for anomaly in processed.anomalies]


def refusal(data: bytes, *, limits: Limits | None = None) -> str:
    with pytest.raises(InvalidInput) as raised:
        decoded(data, limits=limits)
    return raised.value.reason


def whole(data: bytes) -> npt.NDArray[Any]:
    """The samples of a file in which nothing is odd."""
    samples, reasons = decoded(data)
    assert reasons == []
    return samples


def riff(*chunks: bytes, container: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return container + struct.pack("<I", len(body)) + body


PLAIN = riff(LAYOUT, chunk(b"data", PCM))


class TestWav:
    @pytest.mark.parametrize("lengths", [
        {"riff": 0, "data": 0}, {"riff": 36, "data": 0}, {"data": 0}, {"riff": 0xFFFFFFFF, "data": 0xFFFFFFFF},
        {"data": 0xFFFFFFFF}, {"riff": 0, "data": 0x7FFFF000}, {"riff": 0xFFFFFFFF, "data": 0},
    ], ids=str)  # fmt: skip
    @pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM"])
    def test_of_a_killed_recorder_is_read_to_its_end(self, lengths: dict[str, int], subtype: str) -> None:
        data = encoded(NOISE, subtype=subtype)
        data = data[: data.index(b"PEAK")] + data[data.index(b"data") :] if b"PEAK" in data else data
        samples, reasons = decoded(with_lengths(data, **lengths))
        np.testing.assert_array_equal(samples, whole(data))
        assert reasons == ["UNFINISHED_SOUND"]

    def test_of_a_killed_recorder_may_begin_with_silence(self) -> None:
        silent = np.concatenate([np.zeros(8000, np.float32), NOISE])
        samples, reasons = decoded(with_lengths(encoded(silent), riff=0, data=0))
        assert (len(samples), reasons) == (56_000, ["UNFINISHED_SOUND"])

    @pytest.mark.parametrize("missing", [1, 2, 1000, 90_000])
    def test_that_declares_more_than_there_is_is_read_to_its_end(self, missing: int) -> None:
        samples, reasons = decoded(PLAIN[:-missing])
        np.testing.assert_array_equal(samples, whole(PLAIN)[: (len(PCM) - missing) // 2])
        assert reasons == ["CUT_SOUND"]

    def test_without_samples_is_empty_whatever_is_behind_them(self) -> None:
        assert refusal(riff(LAYOUT, chunk(b"data", b""))) == "EMPTY_SOUND"
        assert (
            refusal(riff(LAYOUT, chunk(b"data", b""), chunk(b"LIST", b"INFOISFT\x04\x00\x00\x00Lavf"))) == "EMPTY_SOUND"
        )

    @pytest.mark.parametrize("data", [
        riff(chunk(b"JUNK", bytes(28)), LAYOUT, chunk(b"data", PCM)),
        riff(chunk(b"JUNK", bytes(27)), LAYOUT, chunk(b"data", PCM)),
        riff(LAYOUT, chunk(b"LIST", b"INFOx"), chunk(b"data", PCM)),
        riff(LAYOUT, chunk(b"data", PCM), chunk(b"LIST", b"INFOISFT\x04\x00\x00\x00Lavf")),
        riff(chunk(b"JUNK", bytes(27), padded=False), LAYOUT, chunk(b"data", PCM)),
        riff(LAYOUT, chunk(b"LIST", b"INFOx", padded=False), chunk(b"data", PCM)),
        with_lengths(PLAIN, riff=0),
        PLAIN + b"something else",
        bytes(1000) + PLAIN,
    ], ids=["JUNK", "odd", "odd LIST", "LIST behind", "JUNK bare", "LIST bare", "RIFF 0", "rest", "zeros"])  # fmt: skip
    def test_may_hold_other_chunks_and_lack_padding(self, data: bytes) -> None:
        np.testing.assert_array_equal(whole(data), whole(PLAIN))

    @pytest.mark.parametrize("container", [b"RF64", b"BW64"])
    def test_may_declare_its_length_in_64_bits(self, container: bytes) -> None:
        lengths = chunk(b"ds64", struct.pack("<QQQI", len(PCM) + 72, len(PCM), len(PCM) // 2, 0))
        data = riff(lengths, LAYOUT, b"data\xff\xff\xff\xff", PCM, container=container)
        np.testing.assert_array_equal(whole(data), whole(PLAIN))
        assert decoded(data[:-1000])[1] == ["CUT_SOUND"]
        killed = riff(chunk(b"ds64", bytes(28)), LAYOUT, b"data\xff\xff\xff\xff", PCM, container=container)
        samples, reasons = decoded(killed)
        np.testing.assert_array_equal(samples, whole(PLAIN))
        assert reasons == ["UNFINISHED_SOUND"]

    def test_of_a_telephone_system_is_read_although_libsndfile_cannot_seek_in_it(self) -> None:
        assert len(whole(encoded(tone(0.5), subtype="GSM610"))) == pytest.approx(8000, abs=320)


class TestMp3:
    def test_a_frame_that_is_cut_is_left_out(self) -> None:
        frames = mp3_frames(encoded(NOISE, "MP3"))
        entire = whole(b"".join(frames))
        for missing in (1, len(frames[-1]) - 1, len(frames[-1]) - 4):
            samples, reasons = decoded(b"".join(frames)[:-missing])
            assert 0 < len(entire) - len(samples) < 576
            np.testing.assert_array_equal(samples, entire[: len(samples)])
            assert reasons == ["CUT_SOUND"]

    def test_frames_that_its_tag_counts_and_that_are_not_there_are_missed(self) -> None:
        frames = mp3_frames(encoded(NOISE, "MP3"))
        samples, reasons = decoded(b"".join(frames[:-20]))
        assert reasons == ["CUT_SOUND"]
        np.testing.assert_array_equal(samples, whole(b"".join(frames))[: len(samples)])

    def test_a_cut_file_without_a_tag_gives_its_whole_frames(self) -> None:
        frames = mp3_frames(encoded(NOISE, "MP3"))[1:]
        samples, reasons = decoded(b"".join(frames)[:-10])
        assert (len(samples), reasons) == (576 * (len(frames) - 1), ["CUT_SOUND"])

    def test_a_piece_of_a_stream_is_read_from_its_first_whole_frame(self) -> None:
        frames = mp3_frames(encoded(NOISE, "MP3"))[10:]
        for missing in (1, 7, len(frames[0]) - 1):
            samples, reasons = decoded(b"".join(frames)[missing:])
            assert (len(samples), reasons) == (576 * (len(frames) - 1), ["CUT_SOUND"])

    def test_of_a_variable_bit_rate_without_a_tag_is_read_whole(self) -> None:
        quiet_in_the_middle = np.concatenate([NOISE, np.zeros(64_000, np.float32), NOISE])
        frames = mp3_frames(encoded(quiet_in_the_middle, "MP3"))
        assert len({len(frame) for frame in frames}) > 2
        samples = whole(b"".join(frames[1:]))
        assert len(samples) == 576 * (len(frames) - 1)
        tagged = whole(b"".join(frames))
        np.testing.assert_allclose(
            samples[1105 : 1105 + len(tagged)], tagged, atol=1e-6
        )  # the delay that the tag declares

    def test_a_tag_that_counts_too_few_frames_does_not_shorten_it(self) -> None:
        one, other = (mp3_frames(encoded(NOISE, "MP3")) for _ in range(2))
        samples = whole(b"".join(one + other[1:]))
        assert len(samples) > 2 * len(NOISE)

    @pytest.mark.parametrize(
        "between", [b"", ID3V1, ID3V2, ID3V1 + ID3V2, APE + ID3V1 + bytes(500) + ID3V2, LYRICS + ID3V1]
    )
    def test_joined_files_are_read_one_after_the_other(self, between: bytes) -> None:
        first, second = encoded(NOISE, "MP3"), encoded(tone(1.0), "MP3")
        samples, reasons = decoded(ID3V2 + first + between + second + ID3V1)
        np.testing.assert_array_equal(samples, np.concatenate([whole(first), whole(second)]))
        assert reasons == ["JOINED_SOUNDS"]

    @pytest.mark.parametrize(
        "before", [bytes(1), bytes(5000), ID3V2, ID3V2 + bytes(300), ID3V2 + ID3V2, bytes(10) + ID3V2]
    )
    def test_zeros_and_tags_in_front_are_passed_over(self, before: bytes) -> None:
        data = encoded(NOISE, "MP3")
        np.testing.assert_array_equal(whole(before + data), whole(data))

    def test_damage_in_the_middle_is_no_end(self) -> None:
        frames = mp3_frames(encoded(NOISE, "MP3"))
        frames[40] = b"\x55" * len(frames[40])
        assert refusal(b"".join(frames)) == "UNREADABLE_SOUND"


class TestFlacAndOgg:
    def test_a_cut_flac_gives_its_whole_frames(self) -> None:
        data = encoded(NOISE, "FLAC")
        entire = whole(data)
        for length in (len(data) - 1, len(data) * 2 // 3, len(data) // 3):
            samples, reasons = decoded(data[:length])
            assert len(samples) > 0 and len(samples) % 4096 == 0
            np.testing.assert_array_equal(samples, entire[: len(samples)])
            assert reasons == ["CUT_SOUND"]

    def test_a_flac_cut_between_two_frames_keeps_the_last(self) -> None:
        data = encoded(NOISE, "FLAC")
        last = data.rindex(b"\xff\xf8")  # how frames begin
        assert len(decoded(data[:last])[0]) == 45_056
        assert len(decoded(data[: last - 1])[0]) == 40_960

    def test_a_flac_that_was_written_to_a_pipe_is_read_to_its_end(self) -> None:
        data = encoded(NOISE, "FLAC")
        packed = int.from_bytes(data[18:26], "big") >> 36 << 36
        samples, reasons = decoded(data[:18] + packed.to_bytes(8, "big") + data[26:])
        np.testing.assert_array_equal(samples, whole(data))
        assert reasons == ["UNFINISHED_SOUND"]

    def test_a_flac_that_is_damaged_in_the_middle_is_refused(self) -> None:
        data = bytearray(encoded(NOISE, "FLAC"))
        data[len(data) // 2] ^= 0xFF
        assert refusal(bytes(data)) == "UNREADABLE_SOUND"

    @pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
    def test_a_cut_ogg_gives_its_whole_pages(self, subtype: str) -> None:
        data = encoded(np.tile(NOISE, 4), "OGG", subtype=subtype)
        entire = whole(data)
        for length in (len(data) - 1, len(data) * 2 // 3, data.rindex(b"OggS"), data.rindex(b"OggS") + 10):
            samples, reasons = decoded(data[:length])
            assert len(entire) // 3 < len(samples) < len(entire)
            np.testing.assert_array_equal(samples, entire[: len(samples)])
            assert reasons == ["CUT_SOUND"]

    @pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
    def test_an_ogg_cut_before_any_sound_is_refused(self, subtype: str) -> None:
        assert refusal(encoded(NOISE, "OGG", subtype=subtype)[:600]) == "UNREADABLE_SOUND"


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
class TestOfAnyFormat:
    def test_joined_files_are_read_one_after_the_other(self, file_format: str, subtype: str) -> None:
        first, second = (encoded(sound, file_format, subtype=subtype) for sound in (NOISE, tone(1.0)))
        samples, reasons = decoded(first + second)
        np.testing.assert_array_equal(samples, np.concatenate([whole(first), whole(second)]))
        assert reasons == ["JOINED_SOUNDS"]

    def test_limits_count_joined_files_together(self, file_format: str, subtype: str) -> None:
        data = encoded(NOISE, file_format, subtype=subtype)
        assert len(decoded(data + data, limits=Limits(max_seconds=6.2))[0]) == 96_000
        assert refusal(data + data, limits=Limits(max_seconds=5.9)) == "SOUND_TOO_LONG"
        assert refusal(data * 101) == "TOO_MANY_SOUNDS"

    def test_joined_files_of_different_rates_are_refused(self, file_format: str, subtype: str) -> None:
        first, second = (encoded(NOISE, file_format, subtype=subtype, rate_hz=rate) for rate in (16_000, 24_000))
        assert refusal(first + second) == "MIXED_RATES"

    def test_tags_around_it_are_passed_over(self, file_format: str, subtype: str) -> None:
        data = encoded(NOISE, file_format, subtype=subtype)
        np.testing.assert_array_equal(whole(ID3V2 + data + APE + ID3V1), whole(data))

    def test_something_else_behind_it_is_not_read(self, file_format: str, subtype: str) -> None:
        data = encoded(NOISE, file_format, subtype=subtype)
        np.testing.assert_array_equal(whole(data + b"<html>502 Bad Gateway</html>"), whole(data))


class TestOppositePhase:
    @pytest.mark.parametrize("gain", [-1.0, -0.98])
    @pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
    def test_channels_that_cancel_each_other_out_are_named(self, gain: float, file_format: str, subtype: str) -> None:
        stereo = np.stack([tone(), gain * tone()], axis=1)
        assert decoded(encoded(stereo, file_format, subtype=subtype))[1] == ["OPPOSITE_PHASE"]

    @pytest.mark.parametrize("right", [tone(), np.zeros(8000), -0.5 * tone(), NOISE[:8000], tone(hz=700)])
    def test_other_channels_are_not(self, right: npt.NDArray[Any]) -> None:
        whole(encoded(np.stack([tone(), np.asarray(right, np.float32)], axis=1)))

    def test_silence_cancels_nothing_out_and_a_chosen_channel_neither(self) -> None:
        whole(encoded(np.zeros((8000, 2), np.float32)))
        chosen = Pipeline.load({"inputs": {"clip": "sound"}, "steps": [{**STEPS[0], "channel": 1}, *STEPS[1:]]})
        assert chosen.run({"clip": encoded(np.stack([tone(), -tone()], axis=1))}).anomalies == []


def test_lengths_that_lie_are_refused_before_anything_is_allocated() -> None:
    assert refusal(flac_header(frames=(1 << 36) - 1)) == "SOUND_TOO_LONG"
    assert (
        refusal(wav_header(data_bytes=0, content=bytes(4_000_000)), limits=Limits(max_seconds=100)) == "SOUND_TOO_LONG"
    )


@pytest.mark.parametrize("data", [
    ID3V2[:6] + bytes(4) + (b"ID3\x03" + bytes(6)) * 200_000,
    b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 200_000,
    encoded(NOISE, "FLAC")[:10_000] + b"\xff\xf8" * 1_000_000,
    with_lengths(PLAIN[:44] + bytes(2), riff=38, data=2) * 40_000,
], ids=["tags", "chunks", "FLAC frames", "sounds"])  # fmt: skip
def test_files_of_countless_small_parts_are_given_up_soon(data: bytes) -> None:
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        with pytest.raises(InvalidInput):
            decoded(data)
    finally:
        sys.setprofile(None)
    assert calls < 100_000
