"""The ladder of batch sizes, threads and instances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.optimize.measure.ladder import Rung, batches, best_rung, climb, ways
from tests.sample_packages import onnx_bytes


@pytest.mark.parametrize(("most", "sizes"), [(1, [1]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])])
def test_batches_double_up_to_the_largest(most: int, sizes: list[int]) -> None:
    assert batches(most) == sizes


@pytest.mark.parametrize(
    ("cores", "found"), [(1, [(1, 1)]), (2, [(1, 1), (1, 2), (2, 1)]), (6, [(1, 1), (1, 6), (2, 3), (4, 1), (6, 1)])]
)
def test_threads_times_instances_fill_the_cores(cores: int, found: list[tuple[int, int]]) -> None:
    assert ways(cores) == found


def test_the_shortest_call_that_gives_nearly_as_much_is_the_best() -> None:
    rungs = [Rung(1, 1, 2, 97.0, 20.0), Rung(8, 1, 2, 100.0, 160.0), Rung(1, 2, 1, 90.0, 11.0)]
    assert best_rung(rungs) is rungs[0]


def test_every_step_is_run(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_bytes())
    rungs = climb(path, {"x": np.ones((3, 4), np.float32)}, max_batch_size=4, cores=2, step_s=0.01)
    assert [(each.threads, each.instances, each.batch) for each in rungs] == [
        (threads, instances, batch) for threads, instances in ((1, 1), (1, 2), (2, 1)) for batch in (1, 2, 4)
    ]
    assert all(each.rows_per_s > 0 and each.call_ms > 0 for each in rungs)
