"""The exhaustive run tries what it says."""

from __future__ import annotations

from benchmarks.optimisation.exhaustive import combinations
from lepton_ai.optimize.candidate import Candidate, Step


def test_every_network_is_tried_with_every_file_method() -> None:
    singles = [
        Candidate((Step("int8"),)),
        Candidate((Step("stored-int8"),)),
        Candidate((Step("distil"),)),
        Candidate((Step("prune-weights"), Step("stored-sparse"))),
    ]
    names = [each.name for each in combinations(singles)]
    assert names[:4] == [each.name for each in singles]
    assert names[4:] == ["distil+int8", "distil+stored-int8"]
