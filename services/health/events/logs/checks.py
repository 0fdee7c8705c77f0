"""Bounds what a process reports: anybody who reaches health may report."""

from __future__ import annotations

from itertools import islice

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.logs.waiting import MAX_EXCEPTION, MAX_FIELD, MAX_FIELDS, MAX_MESSAGE
from lepton_ai.v1 import events_pb2 as pb

_MAX_RECORDS = 1000
_MAX_NAME = 200
_TEXTS = {"logger": MAX_FIELD, "message": MAX_MESSAGE, "exception": MAX_EXCEPTION, "trace_id": 32}


def check_report(report: pb.ReportLogsRequest) -> pb.ReportLogsRequest:
    """The same, with too long texts cut. Raises InvalidInput."""
    if len(report.records) > _MAX_RECORDS:
        raise InvalidInput.of_field("records", f"are more than {_MAX_RECORDS}", fix="Send several calls.")
    for field in ("process", "service", "instance"):
        if not getattr(report, field) or len(getattr(report, field)) > _MAX_NAME:
            raise InvalidInput.of_field(field, f"has no or more than {_MAX_NAME} characters")
    if report.first < 1 or report.first >= 1 << 62:
        raise InvalidInput.of_field("first", "begins at 1")
    for index, record in enumerate(report.records):
        if record.level not in (pb.LOG_LEVEL_WARNING, pb.LOG_LEVEL_ERROR, pb.LOG_LEVEL_CRITICAL):
            raise InvalidInput.of_field(f"records[{index}].level", "is missing or unknown")
        for name, most in _TEXTS.items():
            if len(getattr(record, name)) > most:
                setattr(record, name, getattr(record, name)[:most])
        if len(record.fields) > MAX_FIELDS or any(max(map(len, each)) > MAX_FIELD for each in record.fields.items()):
            fields = {name[:MAX_FIELD]: text[:MAX_FIELD] for name, text in islice(record.fields.items(), MAX_FIELDS)}
            record.fields.clear()
            record.fields.update(fields)
    return report
