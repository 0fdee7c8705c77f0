"""Where the services are, for a client: as told, else from the environment, else the stack on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from lepton_ai.credentials import find_token
from lepton_ai.errors import FailedPrecondition, NotFound, PermissionDenied
from lepton_ai.local.running import meant_home
from lepton_ai.local.stack import connection


@dataclass(frozen=True)
class Addresses:
    """host:port of each service that a client talks to; an empty one is not known."""

    inference: str = ""
    """One replica, or several as "host:port,host:port"; calls are balanced over them."""
    registry: str = ""
    health: str = ""
    otlp: str = ""
    traces: str = ""
    """URL of the trace page."""
    console: str = ""
    """URL of the web console."""
    token: str = field(default="", repr=False)
    """What the registry wants to see before it changes anything; reading and predicting need none."""


_SERVICES = tuple(each.name for each in fields(Addresses) if each.name != "token")


def find_addresses(known: Addresses, *, environ: Mapping[str, str], home: Path | None = None) -> Addresses:
    """Fill in what is not `known`: from LEPTON_INFERENCE_ADDRESS and its like, then from the stack that runs here.

    The stack is that of `home`, of the folder LEPTON_HOME, the nearest upwards from the current folder, or the only one
    of this user that runs. The token is LEPTON_TOKEN or in the file LEPTON_TOKEN_FILE, else the stack's own, shown to
    no other registry. Raises FailedPrecondition where several stacks run and none is named.
    """
    told = {name: getattr(known, name) or environ.get(f"LEPTON_{name.upper()}_ADDRESS", "") for name in _SERVICES}
    addresses = Addresses(**told, token=known.token or find_token(environ))
    try:
        found = connection(home or meant_home(environ))
    except NotFound:
        return addresses
    except (PermissionDenied, FailedPrecondition):
        if any(told.values()):
            return addresses
        raise
    # Parts of two platforms must not be mixed: the stack here fills gaps only when nothing else was named.
    if not any(told.values()):
        addresses = replace(addresses, **{name: getattr(found, name) for name in _SERVICES})
    is_ours = addresses.registry and addresses.registry == found.registry
    return replace(addresses, token=found.token) if is_ours and not addresses.token else addresses


def are_told(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a service, so that no stack needs to be found."""
    return any(environ.get(f"LEPTON_{name.upper()}_ADDRESS") for name in _SERVICES)


def split_addresses(addresses: str) -> tuple[str, ...]:
    """ "host:1,host:2" → its parts."""
    return tuple(part.strip() for part in addresses.split(",") if part.strip())
