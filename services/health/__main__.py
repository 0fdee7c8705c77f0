"""Runs the health service: `python -m services.health`."""

from __future__ import annotations

from lepton_ai.mesh.serving.launch import launch
from services.health.settings import HealthSettings

if __name__ == "__main__":
    launch("services.health.service:main", HealthSettings)
