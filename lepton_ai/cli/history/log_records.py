"""Log records of WARNING and up that health keeps of all processes, for `lepton logs`."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.history.events import printable
from lepton_ai.cli.output import Column, console, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from rich.text import Text

    from lepton_ai.v1 import events_pb2 as pb

_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}


def print_templates(home: Path, services: tuple[str, ...], *, as_json: bool) -> None:
    """What is logged, by kind, those with most records first."""
    with client_for(home) as client:
        found = [each for name in services or ("",) for each in client.log_templates(name, limit=1000)]
    if as_json:
        print_json([_template_document(each) for each in found])
    elif found:
        columns = [Column("Id", "right"), Column("Count", "right"), Column("Level"), Column("Service")]
        columns += [Column("Last"), Column("Trace"), Column("Message")]
        print_table(columns, [_template_row(each) for each in found])
    else:
        print_note("Nothing of WARNING or above was logged.")


def print_records(
    home: Path,
    services: tuple[str, ...],
    *,
    trace_id: str,
    template_id: int,
    lines: int,
    as_json: bool,
) -> None:
    """Records of a trace or of a kind, the newest last."""
    wanted: dict[str, Any] = {"trace_id": trace_id, "template_id": template_id, "limit": max(1, lines)}
    with client_for(home) as client:
        found = [each for name in services or ("",) for each in client.logs(service=name, **wanted)]
    found.sort(key=lambda record: record.at.ToNanoseconds())
    if as_json:
        print_json([_record_document(each) for each in found])
        return
    for record in found:
        console().print(_line(record), soft_wrap=True)
    if not found:
        print_note("Health has no such records. It keeps those of WARNING and above; a process tells them in a second.")


def _level(record: pb.LogRecord | pb.LogTemplate) -> str:
    from lepton_ai.v1 import events_pb2

    return events_pb2.LogLevel.Name(record.level).removeprefix("LOG_LEVEL_")


def _line(record: pb.LogRecord) -> Text:
    from rich.text import Text

    when = record.at.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    level = _level(record)
    fields = "".join(f" {name}={printable(text)}" for name, text in sorted(record.fields.items()))
    line = Text.assemble((when, "dim"), " ", (level, _STYLES.get(level, "")), f" {record.service} {record.instance} ")
    line.append(printable(record.message)).append(printable(fields), style="dim")
    if record.trace_id:
        line.append(f" trace={record.trace_id}", style="cyan")
    for each in record.exception.splitlines():
        line.append(f"\n    {printable(each)}", style="dim")
    return line


def _template_row(template: pb.LogTemplate) -> tuple[object, ...]:
    from rich.text import Text

    level = _level(template)
    last = template.last_seen.ToDatetime(UTC).astimezone().strftime("%m-%d %H:%M:%S")
    styled = Text(level, style=_STYLES.get(level, ""))
    message = printable(template.text)
    return template.id, template.count, styled, template.service, last, template.example.trace_id, message


def _template_document(template: pb.LogTemplate) -> dict[str, Any]:
    return {
        "id": template.id,
        "service": template.service,
        "level": _level(template),
        "logger": template.logger,
        "text": template.text,
        "count": template.count,
        "first_seen": template.first_seen.ToJsonString(),
        "last_seen": template.last_seen.ToJsonString(),
        "example": _record_document(template.example),
    }


def _record_document(record: pb.LogRecord) -> dict[str, Any]:
    return {
        "at": record.at.ToJsonString(),
        "level": _level(record),
        "service": record.service,
        "instance": record.instance,
        "logger": record.logger,
        "message": record.message,
        "fields": dict(record.fields),
        "exception": record.exception or None,
        "trace_id": record.trace_id or None,
        "template_id": record.template_id,
    }
