"""What the process of a trial answers when something goes wrong in it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lepton_ai.archive import DISK_FULL
from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.search.task import Folder
from lepton_ai.optimize.search.worker import Trying, answered


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ResourceExhausted("model.onnx was not written", reason=DISK_FULL), "full"),
        (OSError(errno.ENOSPC, "No space left on device"), "full"),
        (OSError(errno.EFBIG, "File too large"), "full"),
        (OSError(errno.EACCES, "Permission denied"), "failed"),
        (InvalidInput("cannot be quantised"), "failed"),
        (ValueError("whatever a library raises"), "failed"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else type(value).__name__,
)
def test_a_full_disk_is_told_from_a_candidate_that_fails(tmp_path: Path, error: Exception, kind: str) -> None:
    def part(trying: Trying) -> dict[str, object]:
        raise error

    answer = answered(part, Trying(Folder(tmp_path), Candidate(), 0.0))
    assert list(answer) == [kind] and str(error.args[-1]) in answer[kind]
