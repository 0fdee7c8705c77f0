"""lepton.v1.FeedbackService: messages to and from the desk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.references import check_name
from lepton_ai.v1 import feedback_pb2 as pb
from lepton_ai.v1 import feedback_pb2_grpc
from services.health.detect.drift.book import DriftBook
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.messages import (
    read_wanted,
    write_answers,
    write_complaints,
    write_outcome,
    write_page,
    write_quality,
    write_questionnaire,
    write_stored,
)

SERVICE = "lepton.v1.FeedbackService"
OPEN_METHODS = (
    "SubmitFeedback",
    "ListFeedback",
    "GetQuality",
    "CountFeedback",
    "GroupComplaints",
    "ListQuestionnaires",
    "GetAnswers",
)
_MAX_LISTED = 10_000
Context = grpc.aio.ServicerContext[Any, Any]


class FeedbackServicer(feedback_pb2_grpc.FeedbackServiceServicer):
    """One method per RPC; the contract is documented in protos/lepton_ai/v1/feedback.proto."""

    def __init__(self, desk: FeedbackDesk, *, tokens: Tokens, drift: DriftBook) -> None:
        """`tokens`: who shows one may send as much as he likes. `drift` hears of all predictions, too."""
        self._desk = desk
        self._drift = drift
        self._tokens = tokens

    async def SubmitFeedback(  # noqa: N802
        self, request: pb.SubmitFeedbackRequest, context: Context
    ) -> pb.SubmitFeedbackResponse:
        name = self._tokens.identify(context.invocation_metadata())
        source = name or _source(context)
        outcomes = await self._desk.submit(request.feedback, source=source, trusted=name is not None)
        return pb.SubmitFeedbackResponse(outcomes=map(write_outcome, outcomes))

    async def ListFeedback(  # noqa: N802
        self, request: pb.ListFeedbackRequest, context: Context
    ) -> pb.ListFeedbackResponse:
        found = await self._desk.find(
            request.model,
            request.version,
            only_bad=request.only_bad,
            only_texts=request.only_texts,
            limit=min(request.limit or 100, _MAX_LISTED),
        )
        return pb.ListFeedbackResponse(feedback=map(write_stored, found))

    async def GetQuality(self, request: pb.GetQualityRequest, context: Context) -> pb.GetQualityResponse:  # noqa: N802
        model = check_name(request.model, field="model")
        found = await self._desk.quality(model, since=request.since.ToMilliseconds() / 1000)
        versions = [write_quality(version, found[version]) for version in sorted(found, reverse=True)]
        return pb.GetQualityResponse(versions=versions)

    async def CountFeedback(  # noqa: N802
        self, request: pb.CountFeedbackRequest, context: Context
    ) -> pb.CountFeedbackResponse:
        model = check_name(request.model, field="model")
        found = await self._desk.tallies(model, since=request.since.ToMilliseconds() / 1000)
        tallies = [
            pb.FeedbackTally(version=version, variant=variant, good=good, bad=bad)
            for (version, variant), (good, bad) in sorted(found.items())
        ]
        return pb.CountFeedbackResponse(versions=tallies)

    async def ForgetUser(self, request: pb.ForgetUserRequest, context: Context) -> pb.ForgetUserResponse:  # noqa: N802
        if not request.user:
            raise InvalidInput.of_field("user", "is empty")
        gone = await self._desk.forget_user(request.user)
        return pb.ForgetUserResponse(feedback=gone.feedback, predictions=gone.predictions, inputs=gone.inputs)

    async def KeepInputs(self, request: pb.KeepInputsRequest, context: Context) -> pb.KeepInputsResponse:  # noqa: N802
        await self._desk.keep(request.versions)
        return pb.KeepInputsResponse()

    async def ExportFeedback(  # noqa: N802
        self, request: pb.ExportFeedbackRequest, context: Context
    ) -> AsyncIterator[pb.ExportFeedbackResponse]:
        wanted = read_wanted(request)
        kinds = await self._desk.kinds(wanted.model)
        async with aclosing(self._desk.select(wanted)) as pages:
            async for page in pages:
                yield write_page(page, kinds)

    async def GroupComplaints(  # noqa: N802
        self, request: pb.GroupComplaintsRequest, context: Context
    ) -> pb.GroupComplaintsResponse:
        model, since = check_name(request.model, field="model"), request.since.ToMilliseconds() / 1000
        groups = await self._desk.complaints(model, request.version, since=since)
        return pb.GroupComplaintsResponse(groups=map(write_complaints, groups))

    async def SetQuestionnaire(  # noqa: N802
        self, request: pb.SetQuestionnaireRequest, context: Context
    ) -> pb.Questionnaire:
        return write_questionnaire(await self._desk.set_questionnaire(request.document))

    async def ListQuestionnaires(  # noqa: N802
        self, request: pb.ListQuestionnairesRequest, context: Context
    ) -> pb.ListQuestionnairesResponse:
        found = await self._desk.questionnaires()
        return pb.ListQuestionnairesResponse(questionnaires=map(write_questionnaire, found))

    async def RemoveQuestionnaire(  # noqa: N802
        self, request: pb.RemoveQuestionnaireRequest, context: Context
    ) -> pb.RemoveQuestionnaireResponse:
        await self._desk.remove_questionnaire(request.name)
        return pb.RemoveQuestionnaireResponse()

    async def GetAnswers(self, request: pb.GetAnswersRequest, context: Context) -> pb.GetAnswersResponse:  # noqa: N802
        since = request.since.ToMilliseconds() / 1000
        found = await self._desk.answers(request.questionnaire, model=request.model, since=since)
        return pb.GetAnswersResponse(questions=map(write_answers, found))

    async def RememberPredictions(  # noqa: N802
        self, request: pb.RememberPredictionsRequest, context: Context
    ) -> pb.RememberPredictionsResponse:
        await self._desk.remember(request.versions)
        await self._drift.hear(request.versions)
        return pb.RememberPredictionsResponse()


def _source(context: Context) -> str:
    """Where feedback comes from: the caller's host, as one host may open any number of ports."""
    peer = str(context.peer())
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
