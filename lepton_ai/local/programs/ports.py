"""Which port each part of the local stack listens on: the usual one when it is free, else any free one, chosen once."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from lepton_ai.errors import FailedPrecondition, InvalidInput, ResourceExhausted

LOOPBACK = "127.0.0.1"
UNIX = "unix:"
"""Beginning of an address that is the path of a socket, the way gRPC writes it."""
_FREE_RANGE = range(10_000, 32_768)
"""Below the ports that Linux gives to outgoing connections, so that none can take a port while its process restarts."""
_ATTEMPTS = 200


@dataclass(frozen=True)
class PortWish:
    """A port that is needed, and the number that is usual for it (None: any will do)."""

    name: str
    usual: int | None = None
    count: int = 1
    """How many in a row; the name is the first one's."""


def parse_fixed(entries: Iterable[str]) -> dict[str, int]:
    """Read `NAME=NUMBER` entries. Raises InvalidInput that says which entry is wrong and how."""
    fixed: dict[str, int] = {}
    for entry in entries:
        name, equals, number = entry.partition("=")
        if not equals or not name or not number.isdecimal() or not 1 <= int(number) <= 65_535:
            raise InvalidInput.of_field("port", f"{entry!r} is not NAME=NUMBER with a number from 1 to 65535")
        fixed[name] = int(number)
    return fixed


def choose_ports(
    wishes: Iterable[PortWish],
    *,
    fixed: Mapping[str, int] | None = None,
    previous: Mapping[str, int] | None = None,
    usual: bool = True,
) -> dict[str, int]:
    """Find a free port for every wish: the fixed one, else the previous one, else the usual one, else any.

    All are held until the last one is found, so no two are the same. Raises FailedPrecondition when a fixed port is
    taken and InvalidInput when a fixed port names no wish.
    """
    wishes, fixed, previous = tuple(wishes), fixed or {}, previous or {}
    unknown = sorted(set(fixed).difference(wish.name for wish in wishes))
    if unknown:
        known = ", ".join(wish.name for wish in wishes)
        raise InvalidInput.of_field("port", f"{unknown[0]!r} is not a port of the stack", fix=f"Choose from: {known}.")
    chosen: dict[str, int] = {}
    with ExitStack() as held:
        for wish in sorted(wishes, key=lambda wish: wish.name not in fixed):
            candidates = [previous.get(wish.name), wish.usual] if usual else []
            chosen[wish.name] = _hold(held, wish, fixed.get(wish.name), candidates)
    return {wish.name: chosen[wish.name] for wish in wishes}


def _hold(held: ExitStack, wish: PortWish, fixed: int | None, candidates: Iterable[int | None]) -> int:
    if fixed is not None:
        if not _bind_all(held, fixed, wish.count):
            raise FailedPrecondition(
                f"Port {fixed}, asked for {wish.name}, is taken by another program.",
                fix="Stop that program or choose another port.",
            )
        return fixed
    # Chosen at random so that two stacks that start at the same moment do not choose alike.
    anywhere = random.SystemRandom().sample(_FREE_RANGE, _ATTEMPTS)
    for port in (*candidates, *anywhere):
        if port is not None and _bind_all(held, port, wish.count):
            return port
    raise ResourceExhausted("No free port was found.", fix="Stop programs that listen on this machine.")


def _bind_all(held: ExitStack, first: int, count: int) -> bool:
    """Hold all of these ports, or none."""
    with ExitStack() as row:
        if not all(_bind(row, first + index) for index in range(count)):
            return False
        held.push(row.pop_all())
        return True


def _bind(held: ExitStack, port: int) -> bool:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port that only waits out closed connections counts as free; one that is listened on does not.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(1)  # With SO_REUSEADDR, only listening excludes another listener on Linux.
    except (OSError, OverflowError):
        listener.close()
        return False
    held.callback(listener.close)
    return True
