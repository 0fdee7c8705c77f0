"""Choosing ports on a real machine: the usual one when free, never one that is taken, never the same one twice."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.local.programs.ports import PortWish, choose_ports, parse_fixed


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _free_port() -> int:
    return choose_ports([PortWish("any")])["any"]


def test_the_usual_port_is_taken_when_it_is_free() -> None:
    usual = _free_port()
    assert choose_ports([PortWish("a", usual)]) == {"a": usual}


def test_another_port_is_taken_when_somebody_listens_on_the_usual_one(taken: int) -> None:
    assert choose_ports([PortWish("a", taken)])["a"] != taken


def test_a_listener_that_shares_its_port_is_not_joined() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert choose_ports([PortWish("a", port)])["a"] != port


def test_a_port_with_a_listener_on_all_interfaces_counts_as_taken() -> None:
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        assert choose_ports([PortWish("a", port)])["a"] != port


def test_the_previous_port_goes_before_the_usual_one() -> None:
    usual, previous = choose_ports([PortWish("x"), PortWish("y")]).values()
    assert choose_ports([PortWish("a", usual)], previous={"a": previous}) == {"a": previous}


def test_no_port_is_given_twice() -> None:
    usual = _free_port()
    ports = choose_ports([PortWish(name, usual) for name in "abcdefgh"])
    assert len(set(ports.values())) == 8


def test_free_ports_are_not_those_of_outgoing_connections() -> None:
    assert all(port < 32_768 for port in choose_ports([PortWish(name) for name in "abcdefgh"]).values())


def test_usual_ports_can_be_left_alone() -> None:
    usual = _free_port()
    assert choose_ports([PortWish("a", usual)], usual=False)["a"] != usual


def test_a_fixed_port_goes_before_the_wishes_of_others() -> None:
    port = _free_port()
    ports = choose_ports([PortWish("a", port), PortWish("b")], fixed={"b": port})
    assert ports["b"] == port
    assert ports["a"] != port


def test_a_fixed_port_that_is_taken_is_refused(taken: int) -> None:
    with pytest.raises(FailedPrecondition, match=f"Port {taken}, asked for a"):
        choose_ports([PortWish("a")], fixed={"a": taken})


def test_a_fixed_port_that_nobody_wants_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(InvalidInput, match="Choose from: a, b"):
        choose_ports([PortWish("a"), PortWish("b")], fixed={"inferense": 1234})


def test_fixed_ports_are_read_from_the_command_line() -> None:
    assert parse_fixed(["inference=9000", "traces=9001"]) == {"inference": 9000, "traces": 9001}


@pytest.mark.parametrize("entry", ["", "=1", "a", "a=", "a=x", "a=0", "a=65536", "a=-1", "a=1=2"])
def test_a_wrong_entry_is_refused_and_named(entry: str) -> None:
    with pytest.raises(InvalidInput, match="NAME=NUMBER"):
        parse_fixed([entry])
