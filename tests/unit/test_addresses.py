"""Where a client finds the services of its platform, and what it proves itself with."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.addresses import Addresses, find_addresses
from lepton_ai.errors import FailedPrecondition, PermissionDenied
from lepton_ai.local.stack import StackState, write_state


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The run directory of a stack."""
    addresses = {"inference": "127.0.0.1:1", "registry": "127.0.0.1:2", "traces": "http://127.0.0.1:3"}
    write_state(tmp_path, StackState(mode="local", stack_id="x", started_at=0.0, addresses=addresses))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("of-the-stack\n")
    return tmp_path


def test_without_anything_said_the_stack_that_runs_here_is_meant(home: Path) -> None:
    assert find_addresses(Addresses(), environ={}, home=home).inference == "127.0.0.1:1"


def test_the_environment_may_name_the_folder_of_a_stack(home: Path) -> None:
    assert find_addresses(Addresses(), environ={"LEPTON_HOME": str(home)}).registry == "127.0.0.1:2"


def test_what_was_said_wins_over_the_environment() -> None:
    environ = {"LEPTON_INFERENCE_ADDRESS": "b:1", "LEPTON_REGISTRY_ADDRESS": "b:2"}
    found = find_addresses(Addresses(inference="a:1"), environ=environ)
    assert (found.inference, found.registry) == ("a:1", "b:2")


def test_parts_of_two_platforms_are_never_mixed(home: Path) -> None:
    found = find_addresses(Addresses(inference="elsewhere:1"), environ={}, home=home)
    assert found == Addresses(inference="elsewhere:1")


def test_without_a_stack_nothing_is_known(tmp_path: Path) -> None:
    assert find_addresses(Addresses(), environ={}, home=tmp_path) == Addresses()


def test_the_token_of_the_stack_comes_with_its_addresses(home: Path) -> None:
    assert find_addresses(Addresses(), environ={}, home=home).token == "of-the-stack"
    assert find_addresses(Addresses(registry="127.0.0.1:2"), environ={}, home=home).token == "of-the-stack"


def test_the_token_of_the_stack_is_shown_to_no_other_registry(home: Path) -> None:
    assert find_addresses(Addresses(registry="elsewhere:2"), environ={}, home=home).token == ""


def test_a_token_that_is_told_wins(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("of-the-file\n")
    told = {"LEPTON_TOKEN": "told", "LEPTON_TOKEN_FILE": str(file)}
    assert find_addresses(Addresses(), environ=told, home=home).token == "told"
    del told["LEPTON_TOKEN"]
    assert find_addresses(Addresses(), environ=told, home=home).token == "of-the-file"
    assert find_addresses(Addresses(token="given"), environ=told, home=home).token == "given"


def test_a_token_file_that_cannot_be_read_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="LEPTON_TOKEN_FILE"):
        find_addresses(Addresses(), environ={"LEPTON_TOKEN_FILE": str(tmp_path / "nothing")}, home=tmp_path)


def test_a_token_is_never_printed() -> None:
    assert "hush" not in repr(Addresses(token="hush"))


def test_the_stack_of_another_user_is_no_obstacle_when_addresses_are_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    told = Addresses(inference="127.0.0.1:1")
    assert find_addresses(told, environ={}, home=home) == told
    with pytest.raises(PermissionDenied, match="LEPTON_INFERENCE_ADDRESS"):
        find_addresses(Addresses(), environ={}, home=home)
