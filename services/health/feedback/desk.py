"""Where feedback is handed in and asked for: it is checked, joined with its prediction, and written into the book."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from lepton_ai.errors import InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.feedback.questionnaire import Questionnaire
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.prediction_ids import parse_prediction_id, user_hash, version_tag
from lepton_ai.v1 import feedback_pb2
from services.health.feedback.book import Entry, FeedbackBook, Kind, State, StoredQuestionnaire
from services.health.feedback.complaints import ComplaintGroup, group_complaints
from services.health.feedback.examples import Page, Selection, Wanted
from services.health.feedback.figures import Span
from services.health.feedback.forms.questionnaires import (
    QuestionAnswers,
    no_questionnaire,
    read_questionnaires,
    tally_answers,
)
from services.health.feedback.inputs import KeptInput, KeptInputs
from services.health.feedback.memory.predictions import Prediction, PredictionMemory
from services.health.feedback.quality import Quality, by_version, is_good
from services.health.feedback.said import read_entries
from services.health.feedback.sources import Sources

_JOIN_EVERY_S = 5.0
_JOIN_FOR_S = 600.0
"""A prediction that has not been heard of for so long after its feedback is not waited for any more."""
_FORGET_EVERY_S = 60.0
_MAX_AT_ONCE = 10_000
_MOST_COMPLAINTS = 5000
"""Texts that are grouped, the newest: what people complain of now, within a second."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Forgotten(NamedTuple):
    """How much was deleted."""

    feedback: int
    predictions: int
    inputs: int


class FeedbackDesk:
    """All files are used from a thread of their own, one after the other."""

    def __init__(
        self, directory: Path, *, max_bytes: int, keep_s: float, per_minute: int, max_input_bytes: int
    ) -> None:
        """Open or make the files in `directory`. Raises FailedPrecondition for those of a later release.

        `per_minute`: what one source may send in a minute before the rest of it counts nowhere.
        """
        self._inputs = KeptInputs(directory / "inputs.sqlite", max_bytes=max_input_bytes)
        self._book = FeedbackBook(directory / "feedback.sqlite")
        self._predictions = PredictionMemory(directory / "predictions", max_bytes=max_bytes, keep_s=keep_s)
        self._sources = Sources(per_minute)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feedback")
        self._questionnaires = dict(read_questionnaires(self._book))
        self._known_versions: set[tuple[str, int, bool]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to join what is heard late, and to forget what is old."""
        self._task = run_loop(self._look_after, name="look after feedback")

    async def close(self) -> None:
        """Finish what has begun, and close the files."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._run(self._book.close)
        await self._run(self._predictions.close)
        await self._run(self._inputs.close)
        self._thread.shutdown()

    async def submit(
        self, feedback: Sequence[feedback_pb2.Feedback], *, source: str, trusted: bool
    ) -> list[State | LeptonError]:
        """Write what was said, durably; what is wrong has its own error in its place.

        `trusted`: whether the source may send as much as it likes. Raises ResourceExhausted for a flood.
        """
        if len(feedback) > _MAX_AT_ONCE:
            raise InvalidInput.of_field("feedback", f"are more than {_MAX_AT_ONCE}", fix="Send several calls.")
        now = time.time()
        entries: list[list[Entry]] = []
        outcomes: list[State | LeptonError] = []
        for index, each in enumerate(feedback):
            try:
                found = read_entries(each, f"feedback[{index}]", source, now, self._questionnaires)
            except LeptonError as error:
                outcomes.append(error)
                entries.append([])
                continue
            outcomes.append(State.UNKNOWN)
            entries.append(found if trusted else self._bounded(found, source, now))
        joined = await self._run(partial(self._write, entries))
        return [
            outcome if isinstance(outcome, LeptonError) else state
            for outcome, state in zip(outcomes, joined, strict=True)
        ]

    async def remember(self, batches: Sequence[feedback_pb2.RememberedPredictions]) -> None:
        """Remember predictions of replicas. Raises InvalidInput."""
        await self._run(partial(self._remember, batches))

    async def find(self, model: str, version: int, *, only_bad: bool, only_texts: bool, limit: int) -> list[Entry]:
        """What was said, the newest first."""
        kind = Kind.TEXT if only_texts else None
        return await self._run(partial(self._book.find, model, version, only_bad=only_bad, kind=kind, limit=limit))

    async def quality(self, model: str, *, since: float) -> Mapping[int, Quality]:
        """What is said of every version of a model."""
        return await self._run(lambda: by_version(self._book.figures(model, since=since)))

    async def spans(self, *, recent: float) -> list[Span]:
        """What counts of all models, by version, kind, source, and whether it was submitted since then."""
        return await self._run(partial(self._book.spans, recent=recent))

    async def complaint_times(self, *, since: float) -> list[tuple[str, float]]:
        """(model, when) of texts submitted since then about predictions that nobody calls good."""
        return await self._run(partial(self._book.complaint_times, since))

    async def tallies(self, model: str, *, since: float) -> Mapping[tuple[int, str], tuple[int, int]]:
        """Version and variant → predictions that were called good and bad."""
        return await self._run(partial(self._book.tallies, model, since=since))

    async def keep(self, batches: Sequence[feedback_pb2.KeptInputs]) -> None:
        """Keep inputs of predictions. Raises InvalidInput."""
        for batch in batches:
            await self._run(partial(self._inputs.add, batch, time.time()))

    async def kinds(self, model: str) -> Mapping[str, str]:
        """Kind of each input of a model, by name."""
        return await self._run(partial(self._inputs.kinds, model))

    async def select(self, wanted: Wanted) -> AsyncGenerator[Page]:
        """Kept inputs with their labels, page by page, the newest first."""
        selection = Selection(self._book, self._inputs, wanted)
        while (page := await self._run(selection.next_page)) is not None:
            yield page

    async def set_questionnaire(self, document: bytes) -> StoredQuestionnaire:
        """Store a questionnaire in place of the one of its name. Raises InvalidInput for what is none."""
        questionnaire = Questionnaire.parse(document)
        stored = StoredQuestionnaire(questionnaire.questionnaire, document.decode("utf-8-sig"), time.time())
        await self._run(partial(self._book.set_questionnaire, stored))
        self._questionnaires[stored.name] = questionnaire
        return stored

    async def questionnaires(self) -> list[StoredQuestionnaire]:
        """All of them by name."""
        return await self._run(self._book.questionnaires)

    async def remove_questionnaire(self, name: str) -> None:
        """Take a questionnaire away; its answers stay. Raises NotFound."""
        if self._questionnaires.pop(name, None) is None:
            raise no_questionnaire(name, self._questionnaires)
        await self._run(partial(self._book.remove_questionnaire, name))

    def questionnaire(self, name: str) -> Questionnaire:
        """The questionnaire of this name. Raises NotFound."""
        if name not in self._questionnaires:
            raise no_questionnaire(name, self._questionnaires)
        return self._questionnaires[name]

    async def answers(self, name: str, *, model: str, since: float) -> list[QuestionAnswers]:
        """What was answered to every question, of predictions of a model or, for "", of all. Raises NotFound."""
        questionnaire = self.questionnaire(name)
        given = await self._run(partial(self._book.answers, name, model, since=since))
        return tally_answers(questionnaire, given)

    async def complaints(self, model: str, version: int, *, since: float) -> list[ComplaintGroup]:
        """What users write of a model's predictions, the same together, the most frequent first."""
        query = partial(self._book.complaints, model, version, since=since, limit=_MOST_COMPLAINTS)
        return await asyncio.to_thread(group_complaints, await self._run(query))

    async def forget_user(self, user: str) -> Forgotten:
        """Delete what a user said, and what is remembered and kept for him.

        Predictions are not found any more from now on, and soon deleted from the disk (`tidy`).
        """
        return await self._run(partial(self._forget_user, user_hash(user)))

    def _forget_user(self, user: bytes) -> Forgotten:
        now = time.time()
        inputs = self._inputs.forget_user(user, self._book.predictions_of(user), now)
        return Forgotten(self._book.forget_user(user), self._predictions.forget_user(user, now), inputs)

    async def join_late(self) -> int:
        """Join feedback with predictions that were heard of after it; returns how many entries."""
        return await self._run(self._join_late)

    async def tidy(self) -> None:
        """Delete from the files what was forgotten: one at a time, so that nobody waits for all of them."""
        while await self._run(partial(self._predictions.tidy, time.time())):
            pass

    def _bounded(self, entries: list[Entry], source: str, now: float) -> list[Entry]:
        count = self._sources.note(source, now)
        if self._sources.is_flood(count):
            raise ResourceExhausted(
                "This source sends far more feedback than people give.",
                reason="TOO_MUCH_FEEDBACK",
                fix="Send it with the platform's token if it is right, or wait a minute.",
                retry_after_s=60.0,
            )
        if self._sources.is_burst(count):
            return [replace(each, state=State.QUARANTINED) for each in entries]
        return entries

    def _write(self, entries: Sequence[Sequence[Entry]]) -> list[State]:
        joined = [[self._joined(each) for each in found] for found in entries]
        self._book.add([each for found in joined for each in found])
        return [found[0].state if found else State.UNKNOWN for found in joined]

    def _joined(self, entry: Entry) -> Entry:
        """The entry with what is known of its prediction by now."""
        prediction_id = parse_prediction_id(entry.prediction)
        found = self._predictions.find(prediction_id) or self._inputs.find(prediction_id)
        quarantined = entry.state is State.QUARANTINED
        if found is not None:
            good = is_good(entry.kind, entry.said, predicted=found.predicted)
            state = State.QUARANTINED if quarantined else State.JOINED
            named = replace(entry, state=state, model=found.model, version=found.version, good=good)
            return replace(named, predicted=found.predicted, value=found.score, variant=_variant_of(found))
        versions = self._book.versions_of(prediction_id.tag)
        if len(versions) != 1 or self._predictions.knows_answer(prediction_id):
            return entry
        ((model, version),) = versions
        state = State.QUARANTINED if quarantined else State.VERSION_KNOWN
        good = is_good(entry.kind, entry.said, predicted="")
        return replace(entry, state=state, model=model, version=version, good=good)

    def _remember(self, batches: Sequence[feedback_pb2.RememberedPredictions]) -> None:
        for batch in batches:
            known = (batch.model, batch.version, bool(batch.items))
            if known not in self._known_versions:
                tag = version_tag(batch.model, batch.version)
                self._book.note_version(tag, batch.model, batch.version, is_remembered=bool(batch.items))
                self._known_versions.add(known)
            self._predictions.add(batch)

    def _join_late(self) -> int:
        waiting = self._book.waiting(time.time() - _JOIN_FOR_S)
        joined = [after for before in waiting if (after := self._joined(before)).state is not before.state]
        if joined:
            self._book.join(joined)
        return len(joined)

    async def _look_after(self) -> None:
        forgotten_s = 0.0
        while True:
            try:
                await self.join_late()
                await self.tidy()
                if time.monotonic() - forgotten_s > _FORGET_EVERY_S:
                    forgotten_s = time.monotonic()
                    await self._run(partial(self._predictions.forget_old, time.time()))
                    await self._run(partial(self._inputs.forget_old, time.time()))
            except OSError as error:
                _log.warning("cannot look after feedback: %s", error.strerror)
            await asyncio.sleep(_JOIN_EVERY_S)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _variant_of(found: Prediction | KeptInput) -> str:
    """Inputs are kept by version: their variant is known only while the prediction is remembered."""
    return found.variant if isinstance(found, Prediction) else ""
