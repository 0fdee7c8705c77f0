"""Feedback as messages of lepton.v1, and wishes of callers as values."""

from __future__ import annotations

from collections.abc import Mapping

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import to_status
from lepton_ai.references import check_name
from lepton_ai.v1 import feedback_pb2 as pb
from services.health.feedback.book import Entry, Kind, State, StoredQuestionnaire
from services.health.feedback.complaints import ComplaintGroup
from services.health.feedback.examples import Example, Page, Wanted, Which, source_hash, source_kind
from services.health.feedback.forms.questionnaires import QuestionAnswers
from services.health.feedback.quality import Quality


def read_wanted(request: pb.ExportFeedbackRequest) -> Wanted:
    """Which examples a caller wants. Raises InvalidInput."""
    return Wanted(
        check_name(request.model, field="model"),
        version=request.version,
        which=Which(request.which),
        below_score=request.below_score if request.HasField("below_score") else None,
        since=request.since.ToMilliseconds() / 1000,
        before=request.before.ToMilliseconds() / 1000 if request.HasField("before") else float("inf"),
        most_per_source=request.most_per_source,
        most_per_user=request.most_per_user,
        limit=request.limit,
    )


def write_page(page: Page, kinds: Mapping[str, str]) -> pb.ExportFeedbackResponse:
    """Some examples."""
    return pb.ExportFeedbackResponse(
        examples=map(_example, page.examples),
        input_kinds=kinds,
        without_input=page.without_input,
        over_limit=page.over_limit,
    )


def _example(example: Example) -> pb.FeedbackExample:
    kept, label = example.kept, example.label
    message = pb.FeedbackExample(version=kept.version)
    message.input.prediction_id, message.input.user = str(kept.prediction), kept.user
    message.input.kept_for = pb.KeptFor.ValueType(kept.kept_for)
    message.input.predicted, message.input.score, message.input.other = kept.predicted, kept.score, kept.other
    message.input.item.ParseFromString(kept.content)
    message.predicted_at.FromMilliseconds(round(kept.prediction.made_at * 1000))
    if label is not None:
        message.label = str(label.said)
        message.said_at.FromMilliseconds(round(label.submitted_at * 1000))
        message.source_kind, message.source = source_kind(label.source), source_hash(label.source)
    return message


def write_outcome(outcome: State | LeptonError) -> pb.FeedbackOutcome:
    if isinstance(outcome, LeptonError):
        return pb.FeedbackOutcome(error=to_status(outcome))
    return pb.FeedbackOutcome(state=_state(outcome))


def _state(state: State) -> pb.FeedbackState.ValueType:
    return pb.FeedbackState.Value(f"FEEDBACK_STATE_{state.name}")


def write_stored(entry: Entry) -> pb.StoredFeedback:
    feedback = pb.Feedback(prediction_id=entry.prediction)
    match entry.kind, entry.said:
        case Kind.LABEL, str(label):
            feedback.label = label
        case Kind.RATING, int(rating) | float(rating):
            feedback.rating = rating
        case Kind.THUMB, bool(up):
            feedback.thumb_up = up
        case Kind.TEXT, str(text):
            feedback.text = text
        case Kind.ANSWERS, {"questionnaire": str(questionnaire), "answers": dict(answers)}:
            feedback.questionnaire = questionnaire
            feedback.answers.update(answers)
    stored = pb.StoredFeedback(feedback=feedback, state=_state(entry.state), model=entry.model, version=entry.version)
    stored.predicted, stored.score, stored.variant = entry.predicted, entry.value, entry.variant
    stored.submitted_at.FromMilliseconds(round(entry.submitted_at * 1000))
    stored.predicted_at.FromMilliseconds(int(entry.prediction[:12], 16))
    return stored


def write_quality(version: int, quality: Quality) -> pb.VersionQuality:
    message = pb.VersionQuality(
        version=version,
        good=quality.good,
        bad=quality.bad,
        labelled=quality.labelled,
        right=quality.right,
        accuracy_low=quality.accuracy[0],
        accuracy_high=quality.accuracy[1],
        rated=quality.rated,
        mean_rating=quality.mean_rating,
        calibration_error=quality.calibration_error,
        mean_absolute_error=quality.mean_absolute_error,
        texts=quality.texts,
        sources=quality.sources,
        largest_source_share=quality.largest_share,
        capped_accuracy=quality.capped_accuracy,
    )
    for predicted, label, count in quality.confusions:
        message.confusions.add(predicted=predicted, label=label, count=count)
    for day, good, bad in quality.trend:
        message.trend.add(good=good, bad=bad).day.FromSeconds(day)
    return message


def write_questionnaire(stored: StoredQuestionnaire) -> pb.Questionnaire:
    """A questionnaire as it was given."""
    message = pb.Questionnaire(name=stored.name, document=stored.document)
    message.changed_at.FromMilliseconds(round(stored.changed_at * 1000))
    return message


def write_answers(answers: QuestionAnswers) -> pb.QuestionAnswers:
    """What was answered to a question."""
    counts = [pb.AnswerCount(answer=answer, count=count) for answer, count in answers.most_frequent]
    return pb.QuestionAnswers(
        name=answers.name,
        kind=answers.kind,
        text=answers.text,
        answered=answers.answered,
        counts=counts,
        mean=answers.mean,
        latest=answers.latest,
    )


def write_complaints(group: ComplaintGroup) -> pb.ComplaintGroup:
    """Texts that say about the same."""
    message = pb.ComplaintGroup(
        id=group.id, example=group.example, keys=group.keys, count=group.count, versions=group.versions
    )
    message.first_at.FromMilliseconds(round(group.first_at * 1000))
    message.last_at.FromMilliseconds(round(group.last_at * 1000))
    return message
