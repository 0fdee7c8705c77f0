"""`processes.json`: the processes of a started stack, as supervisord runs them and as later commands look at them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.table import Process, Restart

TABLE_NAME = "processes.json"
_LOG_BYTES = 10 * 1024 * 1024
"""A log file is rotated at this size, and one older file is kept."""


def write_table(path: Path, processes: Sequence[Process], directory: RunDirectory) -> None:
    """Write the table. Each process runs in the folder of the sockets, where no module can hide the one to be run."""
    rows = [
        {
            **asdict(process),
            "directory": str(directory.sockets),
            "log": str(directory.log(process.name).absolute()),
            "log_bytes": _LOG_BYTES,
        }
        for process in processes
    ]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")


def read_table(path: Path) -> tuple[Process, ...]:
    """The processes of the table; none when there is no table."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(
        Process(
            name=row["name"],
            part=row["part"],
            command=tuple(row["command"]),
            environment=row["environment"],
            address=row["address"],
            readiness=row["readiness"],
            ready_path=row["ready_path"],
            needs=tuple(row["needs"]),
            restart=Restart(**row["restart"]),
            expendable=row.get("expendable", ""),  # a stack that an earlier release started has none
            worker_addresses=tuple(row.get("worker_addresses", ())),
        )
        for row in rows
    )
