"""Processes that are nothing but the alert engine, for tests that kill them: forked off one that has imported it.

`python -m tests.integration.health.alerts.alert_process DIRECTORY URL` forks one for each line on standard input, which
lists the numbers of what is wrong. It writes "started PID", the fork writes "up PID" when it judges, and the next one
waits for its end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from services.health.alerts.engine import AlertEngine, Manner, Parts
from services.health.alerts.firing import Firing
from services.health.alerts.grouping import Pace
from services.health.alerts.memory.clock import Clock
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.notify.heartbeat import Heartbeat
from services.health.alerts.notify.sender import NotificationSender, Patience
from services.health.alerts.panel import Panel
from services.health.alerts.receivers import Receiver

_INTERVAL_S = 0.02
_PACE = Pace(page_wait_s=0.0, group_interval_s=0.05, repeat_interval_s=86_400.0, resolved_wait_s=0.05)


class FaultJudge:
    """Finds what is wrong as long as this process lives."""

    name = "faults"

    def __init__(self, wrong: Sequence[int]) -> None:
        self._wrong = wrong

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """One for each fault."""
        return [Firing({"alertname": "Fault", "severity": "page", "model": f"m{each}"}) for each in self._wrong]


def run(directory: Path, url: str, wrong: Sequence[int]) -> None:
    """Judge and notify until killed."""
    asyncio.run(_run(directory, url, wrong))


async def _run(directory: Path, url: str, wrong: Sequence[int]) -> None:
    receivers = {"ops": Receiver.model_validate({"name": "ops", "kind": "webhook", "url": url})}
    ledger, clock = Ledger(directory / "alerts.sqlite"), Clock()
    patience = Patience(base_s=0.02, max_s=0.1)
    sender = NotificationSender(ledger, receivers, clock, timeout_s=2.0, patience=patience)
    heartbeat = Heartbeat("", sender.http, interval_s=60.0, node="n")
    panel = Panel([FaultJudge(wrong)], timeout_s=1.0)
    parts = Parts(ledger, panel, sender, heartbeat, clock, receivers)
    engine = AlertEngine(parts, Manner(interval_s=_INTERVAL_S, pace=_PACE))
    engine.start()
    _say(f"up {os.getpid()}")
    await asyncio.Event().wait()


def main() -> None:
    """Fork engines, one after the other, as long as somebody asks for them."""
    import httpcore  # noqa: F401 - what the children would take their time to import

    directory, url = sys.argv[1:]
    gc.freeze()  # what all have in common is not looked through in each
    for line in sys.stdin:
        process_id = os.fork()
        if not process_id:
            run(Path(directory), url, json.loads(line))
        _say(f"started {process_id}")
        os.waitpid(process_id, 0)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
