"""Reports of log records as processes send them."""

from __future__ import annotations

from lepton_ai.v1 import events_pb2 as pb


def record(
    message: str,
    *,
    at_s: float = 1_700_000_000.0,
    level: pb.LogLevel.ValueType = pb.LOG_LEVEL_WARNING,
    logger: str = "x",
    trace_id: str = "",
    exception: str = "",
) -> pb.LogRecord:
    made = pb.LogRecord(level=level, logger=logger, message=message, trace_id=trace_id, exception=exception)
    made.at.FromNanoseconds(round(at_s * 1e9))
    return made


def report(
    *records: pb.LogRecord, process: str = "p1", first: int = 1, service: str = "inference"
) -> pb.ReportLogsRequest:
    return pb.ReportLogsRequest(process=process, first=first, service=service, instance="a:1", records=records)
