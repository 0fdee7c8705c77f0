"""Labels in any script."""

from __future__ import annotations

import pytest

from lepton_ai.datasets.show import fonts


def test_what_no_font_has_is_written_as_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "families", lambda: ("DejaVu Sans",))
    fonts._can_draw.cache_clear()
    assert fonts.legible("a猫\n𠀀é") == "a\\u732b \\U00020000é"
    fonts._can_draw.cache_clear()


def test_chinese_is_drawn_where_a_font_is_installed() -> None:
    if len(fonts.families()) == 1:
        pytest.skip("no font for Chinese on this machine")
    assert fonts.legible("猫和狗") == "猫和狗"


@pytest.mark.parametrize(
    ("text", "expected"), [("short", "short"), ("a long label", "a lon…"), ("很长的名字", "很长…")]
)
def test_labels_are_cut_by_their_width(text: str, expected: str) -> None:
    assert fonts.shortened(text, 6) == expected
