"""Questionnaires as a client stores them and reads their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from lepton_ai.client.connections import ConnectedClient
from lepton_ai.client.feedback import call_feedback
from lepton_ai.v1 import feedback_pb2


class Questionnaires:
    """The part of `AsyncClient` for questionnaires."""

    async def set_questionnaire(self: ConnectedClient, document: bytes | str | Path) -> feedback_pb2.Questionnaire:
        """Store a questionnaire, YAML or the path of it, in place of the one of its name.

        Raises InvalidInput that names line and column of what is wrong.
        """
        content = await asyncio.to_thread(document.read_bytes) if isinstance(document, Path) else document
        encoded = content.encode() if isinstance(content, str) else content
        request = feedback_pb2.SetQuestionnaireRequest(document=encoded)
        stored: feedback_pb2.Questionnaire = await call_feedback(
            self, lambda stub, left_s: stub.SetQuestionnaire(request, timeout=left_s, metadata=self._proof)
        )
        return stored

    async def questionnaires(self: ConnectedClient) -> Sequence[feedback_pb2.Questionnaire]:
        """All that are stored."""
        request = feedback_pb2.ListQuestionnairesRequest()
        found = await call_feedback(self, lambda stub, left_s: stub.ListQuestionnaires(request, timeout=left_s))
        return list(found.questionnaires)

    async def remove_questionnaire(self: ConnectedClient, name: str) -> None:
        """Take a questionnaire away; what was answered stays. Raises NotFound."""
        request = feedback_pb2.RemoveQuestionnaireRequest(name=name)
        await call_feedback(
            self, lambda stub, left_s: stub.RemoveQuestionnaire(request, timeout=left_s, metadata=self._proof)
        )

    async def answers(
        self: ConnectedClient, questionnaire: str, *, model: str = ""
    ) -> Sequence[feedback_pb2.QuestionAnswers]:
        """What was answered to each question, of predictions of a model or of all. Raises NotFound."""
        request = feedback_pb2.GetAnswersRequest(questionnaire=questionnaire, model=model)
        found = await call_feedback(self, lambda stub, left_s: stub.GetAnswers(request, timeout=left_s))
        return list(found.questions)
