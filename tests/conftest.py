"""Marks every test by the folder it lies in, so that `-m unit` and its like select by kind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Property tests look for wrong answers; how long an example takes depends on what else the machine does.
settings.register_profile("lepton", deadline=None)
settings.load_profile("lepton")

# Stacks of tests are listed where no command outside this run sees them, and none of this machine's is seen here.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="lepton-state-")

_KINDS = {"unit", "integration", "e2e", "chaos"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for kind in _KINDS.intersection(Path(item.path).relative_to(Path(__file__).parent).parts):
            item.add_marker(kind)
