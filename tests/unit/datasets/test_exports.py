"""What `lepton_ai.datasets` offers, and that asking for it loads nothing early."""

from __future__ import annotations

import subprocess
import sys

import lepton_ai.datasets


def test_public_names_are_sorted_and_exist() -> None:
    names = lepton_ai.datasets.__all__
    assert names == sorted(names)
    assert all(getattr(lepton_ai.datasets, name) for name in names)


def test_importing_the_package_loads_no_arrow_and_no_database() -> None:
    code = "import sys, lepton_ai.datasets; print([m for m in ('pyarrow', 'sqlalchemy', 'ray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
