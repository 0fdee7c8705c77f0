"""Users' feedback as a client that is not asyncio gives and reads it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Unpack

from lepton_ai.client.connections import BlockingClient
from lepton_ai.client.feedback import Opinion
from lepton_ai.feedback.examples import Examples, Selection
from lepton_ai.prediction import Answer, Prediction
from lepton_ai.v1 import feedback_pb2


class BlockingFeedback:
    """The part of `Client` for feedback."""

    def submit_feedback(self: BlockingClient, prediction: Prediction | Answer | str, **opinion: Unpack[Opinion]) -> str:
        """See AsyncClient.submit_feedback."""
        options: dict[str, Any] = {**opinion}
        state: str = self._run("submit_feedback", prediction, **options)
        return state

    def submit_feedbacks(
        self: BlockingClient, opinions: Sequence[tuple[Prediction | Answer | str, Opinion]]
    ) -> list[str]:
        """See AsyncClient.submit_feedbacks."""
        states: list[str] = self._run("submit_feedbacks", opinions)
        return states

    def feedback(
        self: BlockingClient, model: str = "", *, version: int = 0, only_bad: bool = False, limit: int = 100
    ) -> Sequence[feedback_pb2.StoredFeedback]:
        """See AsyncClient.feedback."""
        options: dict[str, Any] = {"version": version, "only_bad": only_bad, "limit": limit}
        found: Sequence[feedback_pb2.StoredFeedback] = self._run("feedback", model, **options)
        return found

    def quality(
        self: BlockingClient, model: str, *, since: datetime | None = None
    ) -> Sequence[feedback_pb2.VersionQuality]:
        """See AsyncClient.quality."""
        found: Sequence[feedback_pb2.VersionQuality] = self._run("quality", model, since=since)
        return found

    def complaints(
        self: BlockingClient, model: str, *, version: int = 0, since: datetime | None = None
    ) -> Sequence[feedback_pb2.ComplaintGroup]:
        """See AsyncClient.complaints."""
        found: Sequence[feedback_pb2.ComplaintGroup] = self._run("complaints", model, version=version, since=since)
        return found

    def feedback_examples(self: BlockingClient, model: str, **selection: Unpack[Selection]) -> Examples:
        """See AsyncClient.feedback_examples."""
        options: dict[str, Any] = {**selection}
        found: Examples = self._run("feedback_examples", model, **options)
        return found

    def forget_user(self: BlockingClient, user: str) -> tuple[int, int, int]:
        """See AsyncClient.forget_user."""
        gone: tuple[int, int, int] = self._run("forget_user", user)
        return gone

    def set_questionnaire(self: BlockingClient, document: bytes | str | Path) -> feedback_pb2.Questionnaire:
        """See AsyncClient.set_questionnaire."""
        stored: feedback_pb2.Questionnaire = self._run("set_questionnaire", document)
        return stored

    def questionnaires(self: BlockingClient) -> Sequence[feedback_pb2.Questionnaire]:
        """See AsyncClient.questionnaires."""
        found: Sequence[feedback_pb2.Questionnaire] = self._run("questionnaires")
        return found

    def remove_questionnaire(self: BlockingClient, name: str) -> None:
        """See AsyncClient.remove_questionnaire."""
        self._run("remove_questionnaire", name)

    def answers(self: BlockingClient, questionnaire: str, *, model: str = "") -> Sequence[feedback_pb2.QuestionAnswers]:
        """See AsyncClient.answers."""
        found: Sequence[feedback_pb2.QuestionAnswers] = self._run("answers", questionnaire, model=model)
        return found
