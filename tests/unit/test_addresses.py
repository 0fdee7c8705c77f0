"""Where a client finds a platform: told, from the environment, or the stack on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.addresses import Addresses, find_addresses, split_addresses
from lepton_ai.local.stack import StackState, write_state


@pytest.fixture
def home(tmp_path: Path) -> Path:
    addresses = {"inference": "127.0.0.1:1,127.0.0.1:2", "registry": "127.0.0.1:3"}
    write_state(tmp_path, StackState(mode="local", stack_id="x", started_at=0.0, addresses=addresses))
    return tmp_path


@pytest.mark.parametrize(
    ("addresses", "parts"),
    [("", ()), ("a:1", ("a:1",)), ("a:1,b:2", ("a:1", "b:2")), (" a:1 , b:2, ", ("a:1", "b:2"))],
)
def test_several_replicas_are_written_with_commas(addresses: str, parts: tuple[str, ...]) -> None:
    assert split_addresses(addresses) == parts


def test_all_inference_replicas_of_the_stack_here_are_found(home: Path) -> None:
    found = find_addresses(Addresses(), environ={}, home=home)
    assert split_addresses(found.inference) == ("127.0.0.1:1", "127.0.0.1:2")


def test_what_is_told_is_not_mixed_with_the_stack_here(home: Path) -> None:
    environ = {"LEPTON_REGISTRY_ADDRESS": "far:2"}
    found = find_addresses(Addresses(inference="far:1"), environ=environ, home=home)
    assert (found.inference, found.registry, found.health) == ("far:1", "far:2", "")
