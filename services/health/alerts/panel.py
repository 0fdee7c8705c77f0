"""All judges, each asked again and again with a deadline, none waiting for another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from lepton_ai.errors import LeptonError
from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing, Judge
from services.health.alerts.lifecycle import Outcome

PANEL = "judges"
_FAILING_PENDING_S = 30.0
_log = logging.getLogger(__name__)


class Panel:
    """Asks judges. One that is slow is heard when it answers; meanwhile the others are heard without it."""

    def __init__(self, judges: Sequence[Judge], *, timeout_s: float, wall: Callable[[], float] = time.time) -> None:
        """`timeout_s` is how long one judge may think."""
        self.judges = {judge.name: judge for judge in judges}
        self._timeout_s = timeout_s
        self._wall = wall
        self._thinking: dict[asyncio.Task[Outcome], str] = {}
        self._failures: dict[str, str] = {}

    async def hear(self, patience_s: float) -> list[Outcome]:
        """Ask all judges that are not thinking, and return what is answered within `patience_s`, failures included."""
        busy = set(self._thinking.values())
        for judge in self.judges.values():
            if judge.name not in busy:
                self._thinking[asyncio.create_task(self._ask(judge), name=f"judge {judge.name}")] = judge.name
        if self._thinking:
            await asyncio.wait(self._thinking, timeout=patience_s)
        done = {task: self._thinking.pop(task) for task in list(self._thinking) if task.done()}
        outcomes = [
            Outcome(name, error="it was interrupted") if task.cancelled() else task.result()
            for task, name in done.items()
        ]
        for outcome in outcomes:
            self._note(outcome)
        return [*outcomes, Outcome(PANEL, [_failing(*each) for each in sorted(self._failures.items())])]

    async def close(self) -> None:
        """Stop asking."""
        for task in self._thinking:
            task.cancel()
        await asyncio.gather(*self._thinking, return_exceptions=True)
        self._thinking.clear()

    async def _ask(self, judge: Judge) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                return Outcome(judge.name, tuple(await judge.judge(self._wall())))
        except TimeoutError:
            return Outcome(judge.name, error=f"it did not answer within {self._timeout_s:g} s")
        except LeptonError as error:
            return Outcome(judge.name, error=error.message)
        except Exception as error:  # noqa: BLE001 - logged, and an alert of its own: the other judges must be heard
            if judge.name not in self._failures:
                _log.exception("a judge failed", extra={"judge": judge.name})
            return Outcome(judge.name, error=f"it failed with {type(error).__name__}, see the log of health")

    def _note(self, outcome: Outcome) -> None:
        if outcome.error:
            self._failures[outcome.judge] = outcome.error
        else:
            self._failures.pop(outcome.judge, None)


def _failing(judge: str, error: str) -> Firing:
    return Firing(
        labels={ALERT_NAME: "JudgeFailing", SEVERITY: "ticket", "judge": judge},
        annotations={
            "summary": f"What {judge} watches is not being watched: {error}.",
            "impact": "New faults of this kind are not noticed; alerts of this kind stay as they were.",
            "runbook": "docs/runbooks.md#judgefailing",
        },
        pending_s=_FAILING_PENDING_S,
    )
