"""Logging of a process: one line a record, and records of WARNING and up kept until the health service takes them."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

from lepton_ai.mesh.logs.formats import JsonFormatter, TextFormatter, note_trace
from lepton_ai.mesh.logs.waiting import WaitingRecords


def configure_logging(
    service: str, *, level: str = "INFO", log_format: Literal["text", "json"] = "text", stream: TextIO | None = None
) -> WaitingRecords:
    """Send all logging of this process to `stream` (default stderr). Call it once, at the start of a process.

    Fields go in `extra`: `logger.info("loaded", extra={"model": name})`. Returns where records of WARNING and up wait
    for health to be told of them: see `lepton_ai.mesh.logs.reporter`.
    """
    lines = logging.StreamHandler(stream or sys.stderr)
    lines.addFilter(note_trace)
    lines.setFormatter(JsonFormatter(service) if log_format == "json" else TextFormatter(service))
    waiting = WaitingRecords()
    root = logging.getLogger()
    root.handlers[:] = [lines, waiting]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and those of webhooks are secrets
    return waiting
