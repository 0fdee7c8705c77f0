"""Background work that lasts as long as its process: whatever ends it early is logged, and it starts again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from lepton_ai.mesh.retry import backoff_s

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_SOUND_AFTER_S = 60.0
"""A loop that has run for this long has recovered from its last failure: the next failure counts as the first."""
_log = logging.getLogger(__name__)

Body = Callable[[], Coroutine[Any, Any, None]]


def run_loop(body: Body, *, name: str) -> asyncio.Task[None]:
    """Run `body()` in a task until it returns or the task is cancelled; whatever it raises, it is called again.

    Use it for every task that nobody waits for: an exception would end such a task unseen, and its service would go on
    and report that all is well. `body` catches the errors it expects; this catches the rest. The pause between two
    calls grows to ten seconds, so that a lasting fault costs a log line now and then, and nothing else.
    """
    return asyncio.create_task(_run(body, name), name=name)


async def _run(body: Body, name: str) -> None:
    failures = 0
    while True:
        begun_s = time.monotonic()
        try:
            await body()
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            # Something that the loop waited for was cancelled by others: no reason to end.
            failures = _count(failures, begun_s)
            _log.warning("what a loop waited for was cancelled; the loop starts again", extra={"loop": name})
        except Exception:  # noqa: BLE001 - catching every fault is its purpose
            failures = _count(failures, begun_s)
            _log.exception("a loop failed; it starts again", extra={"loop": name, "failures": failures})
        else:
            return
        await asyncio.sleep(backoff_s(failures, base_s=_FIRST_PAUSE_S, max_s=_LONGEST_PAUSE_S))


def _count(failures: int, begun_s: float) -> int:
    return 1 if time.monotonic() - begun_s >= _SOUND_AFTER_S else failures + 1


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
