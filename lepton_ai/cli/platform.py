"""The platform that a command talks to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lepton_ai.client import Client


def client_for(
    home: Path, *, trace: bool = False, timeout_s: float = 30.0, tenant: str = "", exact: bool = False
) -> Client:
    """A client for the platform named by LEPTON_*_ADDRESS variables, else for the stack of this run directory.

    Raises NotFound when there is neither.
    """
    from lepton_ai.addresses import Addresses, find_addresses
    from lepton_ai.client import Client
    from lepton_ai.local.running import stack_is_down

    addresses = find_addresses(Addresses(), environ=os.environ, home=home)
    if not (addresses.inference or addresses.registry or addresses.health):
        raise stack_is_down(home)
    return Client(addresses, trace_ratio=1.0 if trace else 0.0, timeout_s=timeout_s, tenant=tenant, exact=exact)
