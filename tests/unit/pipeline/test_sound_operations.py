"""resample, trim_silence, fit_length, sound_tensor, log_mel, and the types that a pipeline tells before it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Limits, Pipeline, Processed
from tests.unit.pipeline.sounds import encoded, tone

RESAMPLE = {"op": "resample", "rate": 16_000}


def load(*steps: dict[str, Any]) -> Pipeline:
    return Pipeline.load({"inputs": {"clip": "sound"}, "steps": [{"op": "decode_sound"}, *steps]})


def run(samples: npt.NDArray[Any], *steps: dict[str, Any], rate_hz: int = 16_000, **limits: Any) -> Processed:
    data = encoded(samples, subtype="FLOAT", rate_hz=rate_hz)
    last = steps[-1] if steps and steps[-1]["op"] == "log_mel" else {"op": "sound_tensor", "output": "out"}
    first = [step for step in steps if step["op"] != "log_mel"]
    if not any(step["op"] == "resample" for step in first):
        first.append({"op": "resample", "rate": rate_hz})
    return load(*first, last).run({"clip": data}, limits=Limits(**limits))


def samples_of(samples: npt.NDArray[Any], *steps: dict[str, Any], rate_hz: int = 16_000) -> npt.NDArray[Any]:
    return run(samples, *steps, rate_hz=rate_hz).tensors["out"]


def reasons(processed: Processed) -> list[str]:
    return [anomaly.reason for anomaly in processed.anomalies]


def test_a_sounds_type_is_known_as_soon_as_rate_and_length_are() -> None:
    mel = {"op": "log_mel", "mels": 40, "output": "mel"}
    assert load(RESAMPLE, mel).outputs[0].shape == (40, -1)
    assert load(RESAMPLE, {"op": "fit_length", "seconds": 1}, mel).outputs[0].shape == (40, 98)
    assert load(RESAMPLE, {"op": "fit_length", "seconds": 0.5}, {"op": "sound_tensor", "output": "x"}).outputs[
        0
    ].shape == (8000,)


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([{"op": "decode_sound"}], "steps[1].input"),
        ([{"op": "log_mel", "output": "x"}], "steps[1].input"),
        ([{"op": "sound_tensor", "output": "x"}], "steps[1].input"),
        ([{"op": "resample", "rate": 10}], "steps[1].rate"),
        ([{"op": "fit_length", "seconds": 0}], "steps[1].seconds"),
        ([{"op": "trim_silence", "threshold_db": -1}], "steps[1].threshold_db"),
        ([RESAMPLE, {"op": "log_mel", "high_hz": 8001, "output": "x"}], "steps[2].high_hz"),
        ([RESAMPLE, {"op": "log_mel", "low_hz": 8000, "output": "x"}], "steps[2].low_hz"),
        ([RESAMPLE, {"op": "log_mel", "low_hz": 100, "high_hz": 50, "output": "x"}], "steps[2]"),
        ([RESAMPLE], "steps[1].output"),
        ([{"op": "resize", "size": 5}], "steps[1].input"),
        ([{"op": "normalize", "output": "x"}], "steps[1].input"),
    ],
)
def test_steps_that_make_no_sense_are_refused_at_load(steps: list[dict[str, Any]], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        load(*steps)
    assert raised.value.fields[0].field == field


def test_an_encoded_sound_must_be_decoded_first() -> None:
    for step in (RESAMPLE, {"op": "trim_silence"}, {"op": "fit_length", "seconds": 1}):
        with pytest.raises(InvalidInput, match="decode_sound"):
            Pipeline.load({"inputs": {"clip": "sound"}, "steps": [step]})


class TestResample:
    @pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
    def test_a_tone_keeps_its_pitch_level_and_length(self, rate_hz: int) -> None:
        samples = samples_of(tone(rate_hz=rate_hz), RESAMPLE, rate_hz=rate_hz)
        assert abs(len(samples) - 8000) <= 1
        np.testing.assert_allclose(samples[500:7500], tone()[500:7500], atol=2e-3)

    def test_what_lies_above_the_new_range_is_filtered_out(self) -> None:
        samples = samples_of(tone(rate_hz=48_000, hz=15_000), RESAMPLE, rate_hz=48_000)
        assert np.abs(samples[500:-500]).max() < 1e-3

    def test_the_same_rate_changes_nothing(self) -> None:
        np.testing.assert_array_equal(samples_of(tone(), RESAMPLE), tone())

    def test_a_result_over_the_limits_is_refused_before_it_is_made(self) -> None:
        with pytest.raises(InvalidInput) as raised:
            run(tone(1, rate_hz=1000), {"op": "resample", "rate": 192_000}, rate_hz=1000, max_samples=100_000)
        assert raised.value.reason == "SOUND_TOO_LONG"


class TestTrimSilence:
    def test_beginning_and_end_go_and_pauses_stay(self) -> None:
        pause = np.zeros(3200, np.float32)
        spoken = np.concatenate([pause, tone(0.2), pause, tone(0.2), pause])
        np.testing.assert_array_equal(samples_of(spoken, {"op": "trim_silence"}), spoken[3200:-3200])

    def test_the_threshold_is_relative_to_the_loudest_part(self) -> None:
        sound = np.concatenate([tone(0.2, level=0.005), tone(0.2, level=0.5)])
        assert len(samples_of(sound, {"op": "trim_silence", "threshold_db": 30})) == 3200
        assert len(samples_of(sound, {"op": "trim_silence", "threshold_db": 50})) == 6400

    def test_a_silent_sound_stays_and_is_flagged(self) -> None:
        processed = run(np.zeros(1000, np.float32), {"op": "trim_silence"})
        assert len(processed.tensors["out"]) == 1000
        assert reasons(processed) == ["SILENT_SOUND"]


class TestFitLength:
    def test_a_short_sound_is_padded(self) -> None:
        ones = np.ones(100, np.float32)
        padded = samples_of(ones, {"op": "fit_length", "seconds": 0.01})
        np.testing.assert_array_equal(padded, np.pad(ones, (0, 60)))
        centred = samples_of(ones, {"op": "fit_length", "seconds": 0.01, "align": "center"})
        np.testing.assert_array_equal(centred, np.pad(ones, (30, 30)))

    def test_a_long_sound_is_cut_and_flagged(self) -> None:
        ramp = np.linspace(0, 1, 200, dtype=np.float32)
        processed = run(ramp, {"op": "fit_length", "seconds": 0.01})
        np.testing.assert_array_equal(processed.tensors["out"], ramp[:160])
        assert reasons(processed) == ["TRUNCATED_SOUND"]
        centred = samples_of(ramp, {"op": "fit_length", "seconds": 0.01, "align": "center"})
        np.testing.assert_array_equal(centred, ramp[20:180])

    def test_padding_over_the_limits_is_refused(self) -> None:
        with pytest.raises(InvalidInput) as raised:
            run(tone(), {"op": "fit_length", "seconds": 3600})
        assert raised.value.reason == "SOUND_TOO_LONG"


class TestLogMel:
    def test_it_is_what_the_formula_says(self) -> None:
        """The formula of `spectrogram.log_mel`, written out with a dense matrix and a plain DFT."""
        sound = tone(0.1, hz=1000) + tone(0.1, hz=3000, level=0.1)
        step = {"op": "log_mel", "mels": 20, "low_hz": 50.0, "high_hz": 7000.0, "output": "mel"}
        mel = run(sound, step).tensors["mel"]

        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
        dft = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
        low_mel, high_mel = (2595 * np.log10(1 + hz / 700) for hz in (50, 7000))
        corners = 700 * (10 ** (np.linspace(low_mel, high_mel, 22) / 2595) - 1)
        bins = np.arange(257) * 16_000 / 512
        filters = [
            np.maximum(0, np.minimum((bins - low) / (top - low), (high - bins) / (high - top)))
            for low, top, high in zip(corners, corners[1:], corners[2:], strict=False)
        ]
        frames = [sound[begin : begin + 400] * hann for begin in range(0, 1600 - 400 + 1, 160)]
        expected = np.log(np.maximum(1e-10, np.array(filters) @ (np.abs(dft @ np.array(frames).T) ** 2)))
        assert (str(mel.dtype), mel.shape) == ("float32", (20, 8))
        np.testing.assert_allclose(mel.tolist(), expected, atol=1e-4)

    def test_a_tone_lights_up_the_band_that_holds_it(self) -> None:
        step = {"op": "log_mel", "mels": 40, "low_hz": 0.0, "output": "mel"}
        low, high = (run(tone(hz=hz), step).tensors["mel"][:, 10].argmax() for hz in (300, 5000))
        assert low < 10
        assert high > 28

    def test_silence_is_the_logarithm_of_the_floor(self) -> None:
        mel = run(np.zeros(800, np.float32), {"op": "log_mel", "floor": 1e-6, "output": "mel"}).tensors["mel"]
        np.testing.assert_array_equal(mel, np.float32(np.log(1e-6)))

    def test_a_sound_shorter_than_a_window_is_one_frame(self) -> None:
        assert run(tone(0.001), {"op": "log_mel", "output": "mel"}).tensors["mel"].shape == (64, 1)

    def test_long_sounds_are_the_same_in_every_part(self) -> None:
        one = run(tone(1, hz=500), {"op": "log_mel", "output": "mel"}).tensors["mel"]
        long = run(tone(10, hz=500), {"op": "log_mel", "output": "mel"}).tensors["mel"]
        np.testing.assert_array_equal(long[:, :98], one)

    @settings(deadline=None)
    @given(
        rate=st.integers(1000, 48_000),
        mels=st.integers(1, 128),
        window_ms=st.floats(1, 60),
        samples=st.integers(1, 3000),
    )
    def test_any_scale_gives_finite_numbers_of_the_shape_that_was_told(
        self, rate: int, mels: int, window_ms: float, samples: int
    ) -> None:
        step = {"op": "log_mel", "mels": mels, "window_ms": window_ms, "output": "mel"}
        fit = {"op": "fit_length", "seconds": samples / rate}
        pipeline = load({"op": "resample", "rate": rate}, fit, step)
        noise = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
        mel = pipeline.run({"clip": encoded(noise, rate_hz=rate)}).tensors["mel"]
        assert mel.shape == pipeline.outputs[0].shape
        assert np.isfinite(mel).all()
