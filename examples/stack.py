"""What every example does at its end: deploy its model when a platform runs here."""

from __future__ import annotations

from pathlib import Path

import lepton_ai as la
from lepton_ai.models import Model


def deploy_if_running(model: Model | Path | str, name: str) -> la.Client | None:
    """A client of the platform on which the model now serves under this name; None when no platform runs here."""
    client = client_if_running()
    if client is not None:
        deployment = la.deploy(model, name=name)
        print(f"Deployed as {deployment.model}.")
    return client


def client_if_running() -> la.Client | None:
    """A client of the platform that runs here; None, with a line that says so, when none does."""
    client = la.Client()
    if client.addresses.registry:
        return client
    client.close()
    print("No stack runs here, so nothing is deployed: `lepton up` starts one.")
    return None
