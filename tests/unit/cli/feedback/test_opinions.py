"""Tables of feedback, as people have them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from lepton_ai.cli.feedback.opinions import _opinion_of_row, _rows

ROW = {"prediction_id": "ab-0", "label": "狗", "thumb_up": "no", "rating": "4"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_whatever_is_between_its_columns(tmp_path: Path, delimiter: str) -> None:
    table = tmp_path / "truths.csv"
    table.write_text("\n".join(delimiter.join(row) for row in (ROW, ROW.values())), encoding="utf-8-sig")
    (row,) = _rows(table)
    assert _opinion_of_row(row, 2) == ("ab-0", {"label": "狗", "thumb_up": False, "rating": 4.0})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("prediction_id,label\nab-0,狗\n".encode("gbk"), "is not UTF-8"),
        (b"id,label\nab-0,dog\n", "has no column prediction_id; it has id, label"),
        (b"prediction_id,label\n", "has no rows"),
        (b"", "has no column prediction_id; it has none"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes, problem: str) -> None:
    table = tmp_path / "truths.csv"
    table.write_bytes(content)
    with pytest.raises(click.ClickException, match=problem):
        _rows(table)
