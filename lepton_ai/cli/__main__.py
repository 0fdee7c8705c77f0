"""`python -m lepton_ai.cli` is `lepton`, where the script is not on PATH."""

from __future__ import annotations

from lepton_ai.cli import main

if __name__ == "__main__":
    main(prog_name="lepton")
