"""`lepton console`: where the console is."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner

from lepton_ai.cli.monitoring.console import console
from lepton_ai.errors import Unavailable
from lepton_ai.local.stack import StackState, write_state


@pytest.fixture(autouse=True)
def _no_stack_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("INFERENCE", "REGISTRY", "HEALTH", "CONSOLE"):
        monkeypatch.delenv(f"LEPTON_{name}_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    addresses = {"console": "http://127.0.0.1:8080", "health": "127.0.0.1:8520"}
    write_state(tmp_path / ".lepton", StackState("local", "id", 0.0, addresses))
    return tmp_path / ".lepton"


def test_it_opens_the_console_of_the_stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def note(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    done = CliRunner().invoke(console, ["--home", str(home)], catch_exceptions=False)
    assert opened == ["http://127.0.0.1:8080"]
    assert "http://127.0.0.1:8080" in done.stdout


def test_it_only_prints_the_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail("a browser was opened"))
    done = CliRunner().invoke(console, ["--home", str(home), "--no-browser"], catch_exceptions=False)
    assert done.stdout == "http://127.0.0.1:8080\n"


def test_without_a_stack_it_says_what_to_do(tmp_path: Path) -> None:
    write_state(tmp_path / ".lepton", StackState("local", "id", 0.0, {"health": "127.0.0.1:8520"}))
    with pytest.raises(Unavailable) as caught:
        CliRunner().invoke(console, ["--home", str(tmp_path / ".lepton")], catch_exceptions=False)
    assert "LEPTON_CONSOLE_ADDRESS" in caught.value.fix
