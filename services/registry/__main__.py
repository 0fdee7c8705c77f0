"""Runs the registry: `python -m services.registry`."""

from __future__ import annotations

from lepton_ai.mesh.serving.launch import launch
from services.registry.settings import RegistrySettings

if __name__ == "__main__":
    launch("services.registry.service:main", RegistrySettings)
