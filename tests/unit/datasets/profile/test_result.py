"""What a profile is: deterministic, honest about samples, as a table, JSON and a page that needs nothing else."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lepton_ai.datasets import from_arrays
from lepton_ai.datasets.profile import profile
from lepton_ai.datasets.profile.progress import Stages
from lepton_ai.datasets.profile.tally import count_rows
from lepton_ai.datasets.schema import render
from lepton_ai.errors import InvalidInput, LeptonError
from tests.unit.datasets.profile.material import image_data, pictures, sound_data, table, text_data, texts, tone


def test_the_same_data_and_seed_give_the_same_profile() -> None:
    data = image_data([*pictures(), pictures()[3], b"broken"], ["猫", "狗"] * 21)
    assert profile(data).to_json() == profile(data.take(range(42))).to_json()


def test_a_sample_is_chosen_by_the_seed_and_said() -> None:
    result = profile(table(500), sample_rows=100, seed=7)
    assert (result.rows, result.measured_rows) == (500, 100)
    assert "100 of 500 rows, chosen by seed 7" in result.notes[0]


def test_equal_rows_are_counted_in_all_rows_also_when_few_are_measured() -> None:
    data = table(400).take([*range(400), 5, 399])
    assert profile(data, sample_rows=50).of_check("duplicate")[0].count == 2


def test_of_very_many_rows_a_share_of_the_contents_is_hashed_and_equal_ones_stay_together() -> None:
    data = from_arrays({"x": np.tile(np.arange(3000) + 0.5, 2)})
    with Stages(shown=False) as stages:
        contents = count_rows(data, stages, max_hashed_rows=2000).contents
    assert contents.share == 3
    assert 1600 < len(contents.rows) < 2400
    assert set(np.unique(contents.inputs, return_counts=True)[1].tolist()) == {2}


def test_the_json_has_row_numbers_and_no_contents() -> None:
    result = profile(text_data([*texts(), "机密" * 900]))
    document = json.loads(result.to_json())
    assert document["findings"][0]["rows"] == [60]
    assert "机密" not in result.to_json()
    assert document["columns"][0]["name"] == "评论"


def test_it_prints_as_a_table_with_advice() -> None:
    printed = str(profile(table(同=["一样"] * 200)))
    assert "constant" in printed and "同" in printed and "drop_columns" in printed


def test_advice_stays_whole_in_a_narrow_terminal() -> None:
    rows = table(200, 客户的国家=["一样"] * 200)
    printed = render(profile(rows), width=80)
    assert "clean(drop_columns=['客户的国家'])." in printed


def test_without_findings_it_prints_no_empty_table() -> None:
    assert str(profile(table(200))).splitlines()[0].endswith("no findings")
    assert "┃" not in str(profile(table(200)))


def test_the_page_holds_its_pictures_and_loads_nothing(tmp_path: Path) -> None:
    data = image_data([*pictures(), pictures()[3], b"broken"])
    path = tmp_path / "报告" / "profile.html"
    profile(data).to_html(path)
    page = path.read_text(encoding="utf-8")
    assert page.count("<img alt='row 3' src='data:image/jpeg;base64,") == 1
    assert "cannot be decoded" in page and "<svg" in page and "prefers-color-scheme:dark" in page
    assert "http" not in page and "<script" not in page


def test_texts_and_names_cannot_put_markup_into_the_page(tmp_path: Path) -> None:
    attack = "<script>alert('好')</script>"
    data = text_data([*texts(), attack * 90]).with_column(attack, ["x"] * 61)
    profile(data).to_html(tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page


def test_sounds_are_drawn_and_tables_are_tables(tmp_path: Path) -> None:
    profile(sound_data([tone(seed) for seed in (1, 2, 1)])).to_html(tmp_path / "s.html")
    assert "class='wave'" in (tmp_path / "s.html").read_text(encoding="utf-8")
    data = table(100).take([*range(100), 3])
    profile(data, other=data[:5]).to_html(tmp_path / "t.html")
    assert "<th>身高</th>" in (tmp_path / "t.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LeptonError):
        profile(table()).to_html(tmp_path / "file" / "p.html")


def test_other_data_must_have_the_same_inputs() -> None:
    with pytest.raises(InvalidInput, match="身高"):
        profile(table(), other=text_data([*texts()]))


def test_the_bar_is_there_only_for_a_terminal() -> None:
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, force_jupyter=False, width=80)
        with Stages(console=console) as stages:
            stages.begin("Reading all rows", 10)
            stages.advance(10)
        written = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("Reading all rows" in written) is terminal
