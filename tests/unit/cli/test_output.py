"""What all commands print alike."""

from __future__ import annotations

import io
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from rich.console import Console

from lepton_ai.cli import output
from lepton_ai.cli.output import (
    Column,
    format_duration_s,
    format_size_bytes,
    home_option,
    json_option,
    make_table,
    print_json,
    print_table,
    style_state,
)


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12.3 ms"),
        (0.9, "900 ms"),
        (4.21, "4.2 s"),
        (200, "3 min 20 s"),
        (18_720, "5 h 12 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_are_short(duration_s: float, text: str) -> None:
    assert format_duration_s(duration_s) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (20 << 20, "20.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_short(size_bytes: int, text: str) -> None:
    assert format_size_bytes(size_bytes) == text


def test_a_table_for_a_file_is_plain_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    label = "埃及猫 " + "x" * 300
    print_table((Column("label"), Column("p", "right")), [(label, "0.91"), ("[bold]b", 1)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["label", "p"]
    assert label in lines[1]
    assert "[bold]b" in lines[2]
    assert not {"\x1b", "─", "│"}.intersection("".join(lines))


ALERT = (
    "ticket",
    style_state("firing"),
    "Model 图像分类 fails too often: 2.10% of its requests.",
    "28 min",
    "081bebae",
)
TITLES = tuple(map(Column, ("Severity", "State", "What", "Since", "Id")))


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, color_system=None, width=width)
    monkeypatch.setattr(output, "console", lambda: terminal)
    print_table(TITLES, [ALERT, ALERT])
    lines = out.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    return lines


@pytest.mark.parametrize("width", [72, 80, 100, 200])
def test_only_long_texts_are_wrapped_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = on_a_terminal(monkeypatch, width)
    assert all(title.title in lines[0] for title in TITLES)
    assert sum("ticket" in line and "firing" in line and "081bebae" in line for line in lines) == 2


@pytest.mark.parametrize("width", [20, 30, 45, 55])
def test_a_terminal_too_narrow_for_a_table_gets_a_list(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = on_a_terminal(monkeypatch, width)
    assert lines[:2] == ["Severity: ticket", "State: firing"]
    assert lines.count("Id: 081bebae") == 2
    assert lines.count("") == 1, "between two rows"


def test_a_cell_may_bring_its_own_look(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((Column("state"),), [(style_state("ready"),)])
    assert "ready" in capsys.readouterr().out
    assert make_table((Column("state"),), [(style_state("whatever"),)])


def test_json_keeps_what_people_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"label": "埃及猫"})
    shown = capsys.readouterr().out
    assert "埃及猫" in shown
    assert json.loads(shown) == {"label": "埃及猫"}


def test_json_has_null_for_what_is_not_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"scores": [float("nan"), {"greatest": float("inf")}, (float("-inf"), 0.5)]})

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    shown = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert shown == {"scores": [None, {"greatest": None}, [None, 0.5]]}


def test_names_of_files_in_another_encoding_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    print_json({"input": name})
    assert json.loads(capsys.readouterr().out) == {"input": name}
    print_table((Column("input"),), [(name,)])
    assert "caf\\udce9.jpg" in capsys.readouterr().out


@click.command()
@home_option
@json_option
def _show(*, home: Path, as_json: bool) -> None:
    click.echo(f"{home} {as_json}")


def test_the_run_directory_is_the_one_that_is_named(tmp_path: Path) -> None:
    assert CliRunner().invoke(_show, ["--home", str(tmp_path), "--json"]).output == f"{tmp_path} True\n"


def test_the_run_directory_may_come_from_the_environment(tmp_path: Path) -> None:
    assert CliRunner().invoke(_show, env={"LEPTON_HOME": str(tmp_path)}).output == f"{tmp_path} False\n"


def test_the_run_directory_is_else_that_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEPTON_HOME", raising=False)
    assert CliRunner().invoke(_show).output == f"{tmp_path / '.lepton'} False\n"
