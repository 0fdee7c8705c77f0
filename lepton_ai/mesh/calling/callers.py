"""Which of our services makes a call, so that calls can be counted by who makes them.

It is said in the connection's user agent, which travels with every call anyway: nobody pays for it per call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

CLIENT = "client"
"""Whoever is none of our services: programs of users, the command line, the console's page."""
SERVICES = frozenset({"inference", "preprocess", "registry", "health"})
_KEY, _PREFIX = "user-agent", "lepton-"


def user_agent_option(service: str) -> tuple[tuple[str, str], ...]:
    """The option of a channel whose calls are made by this service; none for ""."""
    return (("grpc.primary_user_agent", f"{_PREFIX}{service}"),) if service else ()


def caller_of(metadata: Iterable[Any] | None) -> str:
    """One of SERVICES, or CLIENT. Whoever likes may call itself by their names: it is for figures, not for rights."""
    for key, value in metadata or ():
        if key == _KEY:
            name = str(value).partition(" ")[0].removeprefix(_PREFIX)
            return name if name in SERVICES else CLIENT
    return CLIENT
