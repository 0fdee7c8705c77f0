"""The process of one trial: it makes a variant, or measures one, at low priority, and writes what came of it.

    python -m lepton_ai.optimize.search.worker make|measure FOLDER CANDIDATE SECONDS RESULT PARENT

`CANDIDATE` is JSON, `SECONDS` what there is for all of it, `RESULT` the file to write. What crashes, crashes alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lepton_ai.archive import DISK_FULL, replacing
from lepton_ai.disk import is_full
from lepton_ai.errors import LeptonError
from lepton_ai.mesh.serving.workers.bond import die_with
from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.search.task import Folder

_NICENESS = 10
_TRAINING_SHARE = 0.8
"""Of the time that there is; exporting and trying take the rest."""


def main(arguments: list[str]) -> int:
    """Do one part of a trial; always 0 once the result is written."""
    part, folder, candidate, limit_s, result, parent = arguments
    end_s = time.monotonic() + float(limit_s)
    die_with(int(parent))
    os.nice(_NICENESS)
    document = answered(_PARTS[part], Trying(Folder(Path(folder)), Candidate.of(json.loads(candidate)), end_s))
    with replacing(Path(result)) as file:
        file.write(json.dumps(document).encode())
    return 0


@dataclass(frozen=True)
class Trying:
    """What is tried, and when it must be over, on the monotonic clock."""

    folder: Folder
    candidate: Candidate
    end_s: float


def answered(part: Callable[[Trying], dict[str, Any]], trying: Trying) -> Any:
    """What a part comes to, or under one word why it came to nothing."""
    from lepton_ai.optimize.measure.trying import Dropped

    try:
        return part(trying)
    except Dropped as reason:
        return {"dropped": str(reason)}
    except LeptonError as error:
        return {"full" if error.reason == DISK_FULL else "failed": str(error)}
    except OSError as error:
        return {"full" if is_full(error) else "failed": f"{type(error).__name__}: {error.strerror}"}
    except Exception as error:  # noqa: BLE001 - whatever a library finds in a model: this candidate's fault alone
        return {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"}


def _make(trying: Trying) -> dict[str, Any]:
    from lepton_ai.optimize.methods import Workpiece
    from lepton_ai.optimize.search.making import make_variant

    folder, candidate = trying.folder, trying.candidate
    task = folder.read_task()
    calibration, _ = folder.read_rows()
    data = None
    if folder.data.exists():
        from lepton_ai.datasets import Dataset

        data = Dataset.open(folder.data)
    left_s = trying.end_s - time.monotonic()
    original = folder.read_original()
    shapes = {spec.name: spec.shape for spec in original.description.inputs}
    end_s = time.monotonic() + _TRAINING_SHARE * left_s
    piece = Workpiece(calibration, task.cpu, task.max_loss, data, shapes, end_s)
    make_variant(original, candidate, folder.variant(candidate.name), piece)
    return {}


def _measure(trying: Trying) -> dict[str, Any]:
    from lepton_ai.optimize.measure.trying import Judging, measure_variant
    from lepton_ai.package import Package

    folder, candidate = trying.folder, trying.candidate
    task = folder.read_task()
    _, judged = folder.read_rows()
    original = folder.read_original()
    variant = Package.read(folder.variant(candidate.name)) if candidate.steps else original
    judging = Judging(judged, folder.answers, folder.read_sent())
    return {"measured": asdict(measure_variant(original, variant, judging, target=task.target, max_loss=task.max_loss))}


_PARTS = {"make": _make, "measure": _measure}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
