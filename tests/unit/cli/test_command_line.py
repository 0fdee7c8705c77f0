"""The command line as a whole: instant help, commands by name, errors that say what to do, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from lepton_ai import cli
from lepton_ai.cli import COMMANDS, LazyCommand, main
from lepton_ai.errors import FieldViolation, InvalidInput, NotFound
from tests.sample_packages import onnx_bytes

_HEAVY = ("grpc", "torch", "numpy", "pydantic", "psutil", "supervisor", "rich", "opentelemetry")


def _run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code


@click.command()
@click.option("--json", "as_json", is_flag=True)
@click.argument("what")
def _fail(*, what: str, as_json: bool) -> None:
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "bug":
        raise ZeroDivisionError
    if what == "field":
        raise InvalidInput("The file is wrong.", fields=(FieldViolation("steps[2].size", "must be positive"),))
    raise NotFound(f"There is no model {what!r}.", fix="List them with `lepton models`.")


@pytest.fixture
def _failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {"Test": {"fail": LazyCommand(f"{__name__}:_fail", "Fails.")}})


def test_help_names_every_command_and_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--help") == 0
    shown = capsys.readouterr().out
    for section in COMMANDS.values():
        for name, command in section.items():
            assert name in shown
            assert command.summary[:30] in shown


def test_help_imports_nothing_that_takes_long() -> None:
    script = (
        "import sys\nfrom lepton_ai.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print('LOADED', [name for name in {_HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert "LOADED []" in done.stdout


@pytest.mark.parametrize("name", ["up", "down", "status", "logs"])
def test_a_command_explains_itself_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(name, "--help") == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"lepton {name}" in shown
    assert "--home" in shown


def test_every_command_comes_from_a_module_of_the_command_line() -> None:
    targets = [command.target for section in COMMANDS.values() for command in section.values()]
    assert all(target.startswith("lepton_ai.cli.") and ":" in target for target in targets)
    assert find_spec("lepton_ai.cli.stack") is not None


def test_a_mistyped_command_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("statu") == 2
    assert "Did you mean 'status'?" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("up", "--preprocess", "many") == 2
    assert "'many' is not a valid integer" in capsys.readouterr().err


@pytest.mark.usefixtures("_failing")
def test_an_error_says_what_is_wrong_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("fail", "猫[red]") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "Error: There is no model '猫[red]'.",
        "What to do: List them with `lepton models`.",
    ]


@pytest.mark.usefixtures("_failing")
def test_an_error_names_the_fields_that_are_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("fail", "field") == 1
    assert "steps[2].size: must be positive" in capsys.readouterr().err


@pytest.mark.usefixtures("_failing")
def test_an_error_is_json_when_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("fail", "猫", "--json") == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "NOT_FOUND"
    assert error["message"] == "There is no model '猫'."
    assert error["fix"]


@pytest.mark.usefixtures("_failing")
def test_an_interrupted_command_exits_with_130() -> None:
    assert _run("fail", "interrupt") == 130


def test_a_place_that_cannot_be_written_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_bytes())
    (tmp_path / "file").touch()
    assert _run("init", str(tmp_path / "model.onnx"), str(tmp_path / "file" / "package")) == 1
    assert "package: Not a directory." in capsys.readouterr().err


@pytest.mark.usefixtures("_failing")
def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        main(["fail", "bug"])
