"""The search: one candidate after the other, or one on each of several machines, in processes of its own each, until
all are tried or time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lepton_ai.archive import DISK_FULL
from lepton_ai.errors import FailedPrecondition, ResourceExhausted
from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.search.process import Worker, trial_of, work
from lepton_ai.optimize.search.space import combined, controlled, with_decoder
from lepton_ai.optimize.search.task import Folder, Task
from lepton_ai.optimize.search.trial import Trial
from lepton_ai.optimize.variant import remove

_SHORTEST_S = 60.0
"""What a part of a trial that was begun is given at least, even past the end of the budget."""
_LARGEST_SHARE = 0.5
"""Of the time that is left: what hangs must not take it all."""


@dataclass(frozen=True)
class Progress:
    """Where a search is."""

    trial: Trial | None
    """The one that has just ended; None before the first."""
    next: str
    """Name of the candidate that is tried now; empty at the end."""
    done: int
    total: int
    left_s: float
    """Until it is over, by the trials so far and the budget."""


OnProgress = Callable[[Progress], None]


class Search:
    """A search in a folder. What is known is on disk after every trial."""

    def __init__(
        self,
        folder: Folder,
        task: Task,
        *,
        on_progress: OnProgress | None = None,
        worker: Worker = work,
        at_once: int = 1,
    ) -> None:
        """`worker` does the parts of a trial, of so many trials `at_once`.

        Raises FailedPrecondition when the folder is another search's.
        """
        self._folder, self._task, self._work, self._at_once = folder, task, worker, at_once
        self._on_progress = on_progress
        self.trials = list(folder.begin(task))

    def run(self, candidates: Iterable[Candidate], *, budget_s: float) -> list[Trial]:
        """Try the original beside itself, all candidates that are not known yet, then what follows from those: int8
        with layers taken back where it lost too much, combinations of what held.

        No candidate is begun after `budget_s` seconds. Raises FailedPrecondition when the original cannot be measured,
        ResourceExhausted for a full disk; what was found by then is kept.
        """
        end_s = time.monotonic() + budget_s
        self._try_all([Candidate()], end_s)
        original = self._known(Candidate())
        if original is None or original.measured is None:
            self._folder.write_trials([])  # to be tried again
            problem = original.problem if original else "there was no time"
            raise FailedPrecondition(f"The original cannot be measured: {problem}", reason="NOT_MEASURABLE")
        self._try_all(candidates, end_s)
        self._try_all(controlled(self.trials, self._task.max_loss), end_s)
        self._try_all(combined(self.trials, self._task.max_loss), end_s)
        self._try_all(with_decoder(self.trials, self._task.max_loss), end_s)
        return self.trials

    def _try_all(self, candidates: Iterable[Candidate], end_s: float) -> None:
        waiting = [each for each in candidates if self._known(each) is None]
        total = len(self.trials) + len(waiting)

        def attempt(candidate: Candidate) -> Trial | None:
            if time.monotonic() > end_s and candidate.steps:
                return None
            self._tell(None, candidate.name, len(self.trials), total, end_s)
            return self._try(candidate, end_s)

        with self._attempts(attempt, waiting) as trials:
            for trial in trials:
                if trial is None:
                    continue
                self.trials.append(trial)
                self._folder.write_trials(self.trials)
                self._tell(trial, "", len(self.trials), total, end_s)

    @contextmanager
    def _attempts(
        self, attempt: Callable[[Candidate], Trial | None], candidates: Sequence[Candidate]
    ) -> Iterator[Iterator[Trial | None]]:
        """The outcomes as they come; what has not begun when the block ends is not tried."""
        if self._at_once == 1:
            yield map(attempt, candidates)
            return
        pool = ThreadPoolExecutor(self._at_once)
        try:
            tried = [pool.submit(attempt, candidate) for candidate in candidates]
            yield (each.result() for each in as_completed(tried))
        finally:
            pool.shutdown(cancel_futures=True)

    def _known(self, candidate: Candidate) -> Trial | None:
        return next((trial for trial in self.trials if trial.name == candidate.name), None)

    def _try(self, candidate: Candidate, end_s: float) -> Trial:
        begin_s = time.monotonic()
        variant = self._folder.variant(candidate.name)
        parts = ["measure"]
        if candidate.steps:
            remove(variant)  # what a kill has left
            parts = ["make", "measure"]
        share = _LARGEST_SHARE if candidate.steps else 1.0  # without the original's figures there is no search
        for part in parts:
            limit_s = max(_SHORTEST_S, share * (end_s - time.monotonic()))
            answer = self._work(self._folder, part, candidate, limit_s)
            if answer:
                break
        if "full" in answer:  # of the disk's making, not the candidate's: it is tried again when the search goes on
            remove(variant)
            raise ResourceExhausted(
                f"The search stops at {candidate.name}: {answer['full']}",
                reason=DISK_FULL,
                fix="Make room and start the same search again: it goes on where it was.",
            )
        trial = replace(trial_of(candidate, answer), duration_s=time.monotonic() - begin_s)
        if trial.state != "measured":
            remove(variant)
        return trial

    def _tell(self, trial: Trial | None, following: str, done: int, total: int, end_s: float) -> None:
        if self._on_progress is None:
            return
        took = [each.duration_s for each in self.trials if each.duration_s]
        expected_s = (total - done) * (sum(took) / len(took) if took else 0.0)
        left_s = max(0.0, min(end_s - time.monotonic(), expected_s))
        self._on_progress(Progress(trial, following, done, total, left_s))
