"""Settings of the preprocess service."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput
from services.preprocess.settings import PreprocessSettings


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_MAX_ITEM_BYTES", "1000")
    monkeypatch.setenv("LEPTON_MAX_PIXELS", "2000")
    limits = PreprocessSettings.load().limits
    assert (limits.max_item_bytes, limits.max_pixels, limits.max_side_pixels) == (1000, 2000, 16_384)


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_MAX_PIXELS", "200000000")
    with pytest.raises(InvalidInput, match="LEPTON_MAX_PIXELS"):
        PreprocessSettings.load()
