"""Runs the preprocess service: `python -m services.preprocess`."""

from __future__ import annotations

from lepton_ai.mesh.serving.launch import launch
from services.preprocess.settings import PreprocessSettings

if __name__ == "__main__":
    launch("services.preprocess.service:main", PreprocessSettings)
