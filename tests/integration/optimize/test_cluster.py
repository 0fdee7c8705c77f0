"""A search on a real Ray: what is tried there lies here in the end, and machines of another processor are not asked."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import lepton_ai as la
from lepton_ai.errors import FailedPrecondition
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.search.cluster import Machines
from lepton_ai.package import Package
from tests.unit.optimize.small import packaged, stripes

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def test_candidates_are_made_and_measured_by_the_cluster_and_their_packages_come_back(tmp_path: Path) -> None:
    original = packaged(tmp_path / "package")
    options = {"max_loss": 0.05, "target": "size", "methods": ["stored-half", "folded"], "ray": "auto"}
    found = la.optimise(original, stripes(), out=tmp_path / "search", **options)  # type: ignore[arg-type]
    states = {trial.name: trial.state for trial in found.trials}
    assert {state for name, state in states.items() if name.startswith(("original", "stored"))} == {"measured"}, states
    assert found.best is not None
    assert found.best.name.startswith("stored-half")
    optimised = Package.read(found.folder.variant(found.best.name)).description.optimised
    assert optimised is not None
    assert (optimised.of, optimised.flags) == (original.digest, this_cpu().flags)
    again = la.optimise(original, stripes(), out=tmp_path / "search", **options)  # type: ignore[arg-type]
    assert again.trials == found.trials


def test_machines_of_another_processor_are_not_asked() -> None:
    with pytest.raises(FailedPrecondition, match="No machine of the Ray cluster has this machine's processor"):
        Machines("auto", replace(this_cpu(), flags=("sve",)))
