"""What it costs to tell health of log records, beside writing their lines, in CPU time of a process."""

from __future__ import annotations

import asyncio
import io
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Report
from lepton_ai.mesh.logs.formats import TextFormatter
from lepton_ai.mesh.logs.waiting import WaitingRecords
from lepton_ai.v1 import events_pb2
from services.health.events.database import EventsDatabase
from services.health.events.logs.log_book import LogBook

_ROUNDS = 7
_RECORDS = 800
_AT_ONCE = 200
_log = logging.getLogger("lepton.benchmark")


def measure() -> list[Report]:
    """Medians of rounds in turns."""
    rounds = [asyncio.run(_round()) for _ in range(_ROUNDS)]
    cost = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    line = cost["a line in the log"]
    rows = [(name, f"{seconds * 1e6:.2f}", f"{seconds / line:.2f}") for name, seconds in cost.items()]
    note = (
        f"Medians of {_ROUNDS} rounds of {_RECORDS} records with three values and two fields, {_AT_ONCE} a report, "
        "without the call itself. In the process itself but for the last row."
    )
    return [Report("Log records", ("one record", "µs of CPU", "over a line"), rows, note)]


async def _round() -> dict[str, float]:
    lines, waiting = logging.StreamHandler(io.StringIO()), WaitingRecords()
    lines.setFormatter(TextFormatter("benchmark"))
    cost = {
        "a line in the log": _logged([lines], logging.WARNING),
        "kept for health": _logged([waiting], logging.WARNING),
    }
    reports = _timed_reports(waiting, cost)
    cost["INFO, with health told of warnings"] = _logged([waiting], logging.INFO)
    cost["INFO, without"] = _logged([], logging.INFO)
    with tempfile.TemporaryDirectory(prefix="lepton-logs-") as directory:
        database = EventsDatabase(Path(directory) / "events.sqlite")
        book = LogBook(database, max_records=100_000, max_templates=2000)
        begin_s = time.process_time()
        for report in reports:
            await book.take(events_pb2.ReportLogsRequest.FromString(report))
        cost["in health: grouped and written"] = (time.process_time() - begin_s) / _RECORDS
        await database.close()
    return cost


def _logged(handlers: Sequence[logging.Handler], level: int) -> float:
    _log.propagate, _log.handlers[:] = False, handlers
    _log.setLevel(logging.INFO)
    begin_s = time.process_time()
    for number in range(_RECORDS):
        fields = {"model": "resnet", "version": number}
        _log.log(level, "Version %s of %s cannot be loaded: %s", number, "resnet", "no memory", extra=fields)
    return (time.process_time() - begin_s) / _RECORDS


def _timed_reports(waiting: WaitingRecords, cost: dict[str, float]) -> list[bytes]:
    begin_s = time.process_time()
    reports = []
    while records := waiting.first(_AT_ONCE):
        report = events_pb2.ReportLogsRequest(
            process="p", first=waiting.taken + 1, service="inference", instance="127.0.0.1:8500", records=records
        )
        reports.append(report.SerializeToString())
        waiting.remove(len(records))
    cost["made a report of"] = (time.process_time() - begin_s) / _RECORDS
    return reports
