"""Keeps an eye on Triton: whether it answers, and which models it says are ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.mesh.loops import run_loop
from services.inference.triton.backend import READY, InferenceBackend
from services.inference.triton.errors import TRITON_AWAY

POLL_INTERVAL_S = 0.5
_ANSWER_TIMEOUT_S = 1.0
# Under load an answer may be late; only silence for several polls means that Triton hangs. After the first number of
# late polls it gets no more calls; after the second it is ended, which costs loading all models again.
_LATE_POLLS = 5
_HUNG_POLLS = 10
_log = logging.getLogger(__name__)


class TritonWatch:
    """Polls the repository index; one call tells both whether Triton lives and what it has lost in a restart."""

    def __init__(
        self,
        triton: InferenceBackend,
        changed: Callable[[], None],
        *,
        address: str = "",
        interval_s: float = POLL_INTERVAL_S,
        answer_timeout_s: float = _ANSWER_TIMEOUT_S,
        restart: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`address` is Triton's. `restart` ends one that lives and does not answer; else it is waited for."""
        self.address = address
        self._triton = triton
        self._changed = changed
        self._interval_s = interval_s
        self._answer_timeout_s = answer_timeout_s
        self._restart = restart
        self._answers = asyncio.Event()
        self._late = 0
        self._states: Mapping[str, str] = {}
        self._loaded: frozenset[str] = frozenset()
        """Models that were ready at the last answered poll."""
        self._went_away = False
        """Whether nobody was there for any poll since then."""
        self._restarts = 0
        self._seen_at_s = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether Triton answers."""
        return self._answers.is_set()

    @property
    def states(self) -> Mapping[str, str]:
        """Model → READY, LOADING, UNLOADING, UNAVAILABLE, as last seen."""
        return self._states

    @property
    def seen_at_s(self) -> float:
        """Monotonic time at which the last answered poll began."""
        return self._seen_at_s

    @property
    def restarts(self) -> int:
        """How often Triton was started anew since it answered first."""
        return self._restarts

    async def start(self) -> None:
        """Poll once, then go on in the background."""
        await self.refresh()
        self._task = run_loop(self._run, name="watch triton")

    async def close(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def until_ready(self) -> None:
        """Wait until Triton answers."""
        await self._answers.wait()

    async def refresh(self) -> None:
        """Poll now. Never raises."""
        before = (self.ready, self._states)
        began_at_s = time.monotonic()
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                states = dict(await self._triton.index())
        except (LeptonError, TimeoutError) as error:
            self._miss(error)
        else:
            self._note(states)
            self._late, self._seen_at_s = 0, began_at_s
            self._answers.set()
        if before != (self.ready, self._states):
            self._changed()

    def _note(self, states: Mapping[str, str]) -> None:
        """Take over what Triton says. One that was away, or hung, and has lost all its models was started anew.

        One that hangs and is ended may be back before a poll finds nobody there."""
        loaded = frozenset(name for name, state in states.items() if state == READY)
        was_gone = self._went_away or (not self.ready and bool(self._loaded))
        if was_gone and self._seen_at_s > float("-inf") and not loaded & self._loaded:
            self._restarts += 1
            _log.warning("Triton was started anew; %d models are to be loaded again", len(self._loaded))
        self._states, self._loaded = states, loaded
        self._went_away = False

    def _miss(self, error: BaseException) -> None:
        away = isinstance(error, LeptonError) and error.reason == TRITON_AWAY
        self._went_away = self._went_away or away
        self._late = 0 if away else self._late + 1  # a Triton that is away does not hang; its supervisor starts it
        if away or self._late >= _LATE_POLLS:
            if self.ready:
                _log.warning("Triton does not answer any more: %s", type(error).__name__)
            self._answers.clear()
            self._states = {}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.refresh()
            if self._late >= _HUNG_POLLS:
                await self._end_hung()

    async def _end_hung(self) -> None:
        """End a Triton that hangs: one that aborts may get stuck in its signal handler, and its supervisor sees it
        alive."""
        self._late = _LATE_POLLS
        if self._restart is None:
            return
        try:
            await self._restart()
        except FailedPrecondition as error:
            _log.warning("Triton hangs: %s", error)
