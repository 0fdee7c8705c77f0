from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.addresses import Addresses, find_addresses
from lepton_ai.local.stack import StackState, write_state


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The run directory of a stack."""
    addresses = {"inference": "127.0.0.1:1", "registry": "127.0.0.1:2", "traces": "http://127.0.0.1:3"}
    write_state(tmp_path, StackState(mode="local", stack_id="x", started_at=0.0, addresses=addresses))
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
