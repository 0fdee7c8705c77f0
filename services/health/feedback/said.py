"""What somebody says of a prediction, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lepton_ai.errors import InvalidInput
from lepton_ai.feedback.questionnaire import MAX_TEXT_CHARS, Questionnaire
from lepton_ai.mesh.prediction_ids import parse_prediction_id, user_hash
from lepton_ai.v1 import feedback_pb2
from services.health.feedback.book import Entry, Kind, State

_MAX_LABEL, _MAX_ANSWERS, _MAX_USER = 1000, 100, 1000


def read_entries(
    feedback: feedback_pb2.Feedback, field: str, source: str, now: float, known: Mapping[str, Questionnaire]
) -> list[Entry]:
    """One for each thing that was said. Raises InvalidInput.

    Answers to a known questionnaire are checked, and those to its first thumb, rating, label and text are said, too.
    """
    prediction = str(parse_prediction_id(feedback.prediction_id, field=f"{field}.prediction_id"))
    if len(feedback.user) > _MAX_USER:
        raise InvalidInput.of_field(f"{field}.user", f"is over {_MAX_USER} characters")
    questionnaire = known.get(feedback.questionnaire)
    if questionnaire is not None and feedback.answers:
        questionnaire.check_answers(feedback.answers, field=f"{field}.answers")
        feedback = _with_answers(feedback, questionnaire)
    said = _said(feedback, field)
    if not said:
        raise InvalidInput.of_field(field, "says nothing", fix="Give a label, a rating, a thumb, a text or answers.")
    user = user_hash(feedback.user) if feedback.user else None
    return [Entry(prediction, kind, value, now, source, user, State.UNKNOWN) for kind, value in said.items()]


def _said(feedback: feedback_pb2.Feedback, field: str) -> dict[Kind, object]:
    said: dict[Kind, object] = {}
    if feedback.HasField("label"):
        said[Kind.LABEL] = _short(feedback.label, _MAX_LABEL, f"{field}.label")
    if feedback.HasField("rating"):
        if not (math.isfinite(feedback.rating) and 1 <= feedback.rating <= 5):
            raise InvalidInput.of_field(f"{field}.rating", f"is {feedback.rating:g}", fix="From 1 (bad) to 5 (good).")
        said[Kind.RATING] = feedback.rating
    if feedback.HasField("thumb_up"):
        said[Kind.THUMB] = feedback.thumb_up
    if feedback.text:
        said[Kind.TEXT] = _short(feedback.text, MAX_TEXT_CHARS, f"{field}.text")
    if feedback.answers:
        if len(feedback.answers) > _MAX_ANSWERS:
            raise InvalidInput.of_field(f"{field}.answers", f"are more than {_MAX_ANSWERS}")
        named = f"{field}.answers"
        answers = {
            _short(key, _MAX_LABEL, named): _short(value, MAX_TEXT_CHARS, named)
            for key, value in feedback.answers.items()
        }
        questionnaire = _short(feedback.questionnaire, _MAX_LABEL, f"{field}.questionnaire")
        said[Kind.ANSWERS] = {"questionnaire": questionnaire, "answers": answers}
    return said


def _short(text: str, most: int, field: str) -> str:
    if len(text) > most:
        raise InvalidInput.of_field(field, f"has {len(text):,} characters, at most {most:,} are kept")
    return text


def _with_answers(feedback: feedback_pb2.Feedback, questionnaire: Questionnaire) -> feedback_pb2.Feedback:
    """The feedback with what its answers say of the prediction, where that is not said beside them."""
    said = feedback_pb2.Feedback()
    said.CopyFrom(feedback)
    thumb, rating, label, text = (
        questionnaire.first_answer(kind, feedback.answers) for kind in ("thumb", "rating", "label", "text")
    )
    if thumb is not None and not said.HasField("thumb_up"):
        said.thumb_up = thumb == "up"
    if rating is not None and not said.HasField("rating"):
        said.rating = float(rating)
    if label is not None and not said.HasField("label"):
        said.label = label
    said.text = said.text or text or ""
    return said
