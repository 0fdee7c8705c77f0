"""Runs the inference service: `python -m services.inference`."""

from __future__ import annotations

from lepton_ai.mesh.serving.launch import launch

if __name__ == "__main__":
    launch("services.inference.service:main")
