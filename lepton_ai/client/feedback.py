"""Users' feedback as a client gives and reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack

from lepton_ai.client.connections import ConnectedClient
from lepton_ai.errors import InvalidInput
from lepton_ai.feedback.examples import Example, Examples, Selection, read_example, request_of
from lepton_ai.mesh.errors import from_status
from lepton_ai.prediction import Answer, Prediction
from lepton_ai.references import check_name
from lepton_ai.v1 import feedback_pb2, feedback_pb2_grpc

T = TypeVar("T")
_AT_ONCE = 1000
_FETCH_TIMEOUT_S = 600.0


class Opinion(TypedDict, total=False):
    """What is said of a prediction; at least one of label, rating, thumb_up, text and answers."""

    label: str | float
    """The right one, or the right number."""
    rating: float
    """From 1 (bad) to 5 (good)."""
    thumb_up: bool
    text: str
    answers: Mapping[str, str]
    """To a questionnaire's questions, by name."""
    questionnaire: str
    user: str
    """Who says it; only a hash is kept, by which `forget_user` finds it."""


class Feedback:
    """The part of `AsyncClient` for feedback."""

    async def submit_feedback(
        self: ConnectedClient, prediction: Prediction | Answer | str, **opinion: Unpack[Opinion]
    ) -> str:
        """Say something of a prediction, at once or days later: the last of each kind counts.

        Returns "joined"; "version_known" or "unknown" where the prediction is not remembered; "quarantined" for one of
        too many from one source. Raises InvalidInput, ResourceExhausted.
        """
        (state,) = await _submit(self, [(prediction, opinion)])
        return state

    async def submit_feedbacks(
        self: ConnectedClient, opinions: Sequence[tuple[Prediction | Answer | str, Opinion]]
    ) -> list[str]:
        """Say something of many predictions; see `submit_feedback`. Raises the first error, with others stored."""
        states: list[str] = []
        for start in range(0, len(opinions), _AT_ONCE):
            states += await _submit(self, opinions[start : start + _AT_ONCE])
        return states

    async def feedback(
        self: ConnectedClient, model: str = "", *, version: int = 0, only_bad: bool = False, limit: int = 100
    ) -> Sequence[feedback_pb2.StoredFeedback]:
        """What was said, the newest first; of all models without one."""
        request = feedback_pb2.ListFeedbackRequest(model=model, version=version, only_bad=only_bad, limit=limit)
        listed = await call_feedback(self, lambda stub, left_s: stub.ListFeedback(request, timeout=left_s))
        return list(listed.feedback)

    async def quality(
        self: ConnectedClient, model: str, *, since: datetime | None = None
    ) -> Sequence[feedback_pb2.VersionQuality]:
        """How often each version was right, as far as it was said; the newest version first."""
        request = feedback_pb2.GetQualityRequest(model=check_name(model, field="model"))
        if since is not None:
            request.since.FromDatetime(since)
        found = await call_feedback(self, lambda stub, left_s: stub.GetQuality(request, timeout=left_s))
        return list(found.versions)

    async def complaints(
        self: ConnectedClient, model: str, *, version: int = 0, since: datetime | None = None
    ) -> Sequence[feedback_pb2.ComplaintGroup]:
        """What users write of a model's predictions, the same together, the most frequent first."""
        request = feedback_pb2.GroupComplaintsRequest(model=check_name(model, field="model"), version=version)
        if since is not None:
            request.since.FromDatetime(since)
        found = await call_feedback(self, lambda stub, left_s: stub.GroupComplaints(request, timeout=left_s))
        return list(found.groups)

    async def feedback_examples(self: ConnectedClient, model: str, **selection: Unpack[Selection]) -> Examples:
        """Kept inputs with the labels that users say are right, the newest first; see `la.datasets.from_feedback`.

        By default those with a label. Raises Unauthenticated where the platform's token is not known.
        """
        request = request_of(check_name(model, field="model"), selection)
        return await self._connections.call(
            "health", lambda channel, left_s: _fetch(channel, request, self._proof, left_s), _FETCH_TIMEOUT_S
        )

    async def forget_user(self: ConnectedClient, user: str) -> tuple[int, int, int]:
        """Delete what a user said, what is remembered of predictions for him, and the inputs of both; returns how much.

        Data sets made of it before are not touched.
        """
        request = feedback_pb2.ForgetUserRequest(user=user)
        gone = await call_feedback(
            self, lambda stub, left_s: stub.ForgetUser(request, timeout=left_s, metadata=self._proof)
        )
        return gone.feedback, gone.predictions, gone.inputs


async def _fetch(channel: Any, request: feedback_pb2.ExportFeedbackRequest, proof: Any, timeout_s: float) -> Examples:
    pages = feedback_pb2_grpc.FeedbackServiceStub(channel).ExportFeedback(request, timeout=timeout_s, metadata=proof)
    found: list[Example] = []
    kinds: Mapping[str, str] = {}
    without_input = over_limit = 0
    async for page in pages:
        kinds = dict(page.input_kinds)
        found += [read_example(each, kinds) for each in page.examples]
        without_input += page.without_input
        over_limit += page.over_limit
    return Examples(request.model, kinds, found, without_input, over_limit)


async def _submit(client: ConnectedClient, opinions: Sequence[tuple[Prediction | Answer | str, Opinion]]) -> list[str]:
    messages = [_message(prediction, opinion) for prediction, opinion in opinions]
    request = feedback_pb2.SubmitFeedbackRequest(feedback=messages)
    answer = await call_feedback(
        client, lambda stub, left_s: stub.SubmitFeedback(request, timeout=left_s, metadata=client._proof)
    )
    for outcome in answer.outcomes:
        if outcome.WhichOneof("outcome") == "error":
            raise from_status(outcome.error)
    names = (feedback_pb2.FeedbackState.Name(outcome.state) for outcome in answer.outcomes)
    return [name.removeprefix("FEEDBACK_STATE_").lower() for name in names]


async def call_feedback(client: ConnectedClient, invoke: Callable[[Any, float], Awaitable[T]]) -> T:
    """Call the health service's stub for feedback, which gets the time that is left."""
    return await client._connections.call(
        "health",
        lambda channel, left_s: invoke(feedback_pb2_grpc.FeedbackServiceStub(channel), left_s),
        client._timeout_s,
    )


def _message(prediction: Prediction | Answer | str, opinion: Opinion) -> feedback_pb2.Feedback:
    said: dict[str, Any] = dict(opinion)
    unknown = said.keys() - Opinion.__annotations__.keys()
    if unknown:
        known = ", ".join(Opinion.__annotations__)
        raise InvalidInput.of_field("opinion", f"has {sorted(unknown)[0]!r}", fix=f"Known are {known}.")
    for question, answered in said.get("answers", {}).items():
        if not isinstance(question, str) or not isinstance(answered, str):
            raise InvalidInput.of_field(f"answers[{question}]", f"is {answered!r}, answers are texts")
    if "label" in said:
        said["label"] = str(said["label"])
    prediction_id = prediction if isinstance(prediction, str) else prediction.prediction_id
    try:
        return feedback_pb2.Feedback(prediction_id=prediction_id, **said)
    except TypeError as error:
        raise InvalidInput.of_field("opinion", f"cannot be sent: {error}") from error
