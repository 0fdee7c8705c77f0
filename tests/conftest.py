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
_LONG = (
    "e2e/test_examples.py",
    "integration/registry/test_kills.py",
    "e2e/test_rollouts.py",
    "integration/training/test_processes.py",
    "integration/optimize/test_optimise.py",
    "integration/registry/test_rollout_crashes.py",
    "integration/registry/test_crashes.py",
    "integration/training/test_kill.py",
    "integration/health/alerts/test_kills.py",
    "e2e/test_variants.py",
    "e2e/test_first_hour.py",
    "integration/health/test_promql.py",
    "e2e/test_console.py",
    "e2e/test_readme.py",
    "integration/training/test_training_document.py",
)
"""Files that take a minute and more. They come first, so that the end of a run is not one process working and another
waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(_LONG)}
    root = Path(__file__).parent
    items.sort(key=lambda item: places.get(str(Path(item.path).relative_to(root)), len(places)))
    for item in items:
        for kind in _KINDS.intersection(Path(item.path).relative_to(Path(__file__).parent).parts):
            item.add_marker(kind)
