"""Runs one part of a trial in a process of its own, and tells why there is no result if there is none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.measure.measured import Measured
from lepton_ai.optimize.search.task import Folder
from lepton_ai.optimize.search.trial import Trial

Worker = Callable[[Folder, str, Candidate, float], dict[str, Any]]
"""Of folder, part, candidate and time limit; see `work`."""
_OUTPUT_LINES = 3


def work(folder: Folder, part: str, candidate: Candidate, timeout_s: float) -> dict[str, Any]:
    """Make or measure a candidate (`part`); what the process answers: nothing when it is made,
    "measured", "dropped", "failed", or "full" when there is no room for it on the disk."""
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        result, printed = Path(place) / "result.json", Path(place) / "printed"
        program = [sys.executable, "-m", "lepton_ai.optimize.search.worker"]
        steps = json.dumps(candidate.document())
        arguments = [part, str(folder.path), steps, str(timeout_s), str(result), str(os.getpid())]
        with printed.open("wb") as file:
            process = subprocess.Popen([*program, *arguments], stdout=file, stderr=file, stdin=subprocess.DEVNULL)
            code = _wait(process, timeout_s)
        if result.exists():
            answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            return answer
        return {"failed": _ending(code, printed.read_text(encoding="utf-8", errors="replace"))}


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """The exit status; None when the time was over, which ends the process. It ends with ours in any case."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _ending(code: int | None, printed: str) -> str:
    if code is None:
        return "took longer than the time that was left"
    name = ""
    with contextlib.suppress(ValueError):  # a positive status
        name = signal.Signals(-code).name
    if name == "SIGKILL":
        return "was killed, most likely for want of memory"
    said = " · ".join(printed.strip().splitlines()[-_OUTPUT_LINES:])[-300:]
    return f"ended with {name or f'status {code}'}" + (f": {said}" if said else "")


def trial_of(candidate: Candidate, answer: dict[str, Any]) -> Trial:
    """What the process has answered, as a trial."""
    if "measured" in answer:
        return Trial(candidate, "measured", Measured.of(answer["measured"]))
    if "dropped" in answer:
        return Trial(candidate, "dropped", problem=answer["dropped"])
    return Trial(candidate, "failed", problem=answer["failed"])
