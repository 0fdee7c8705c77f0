"""Stored questionnaires, and what was answered to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lepton_ai.errors import NotFound
from lepton_ai.feedback.questionnaire import Questionnaire
from services.health.feedback.book import Answered, FeedbackBook

_MOST_COUNTED, _MOST_TEXTS = 50, 5


@dataclass
class QuestionAnswers:
    """What was answered to one question."""

    name: str
    kind: str
    text: str
    answered: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """How often each answer was given; of texts none."""
    latest: list[str] = field(default_factory=list)
    """Of texts the last ones."""

    @property
    def mean(self) -> float:
        """Of ratings; else 0."""
        if self.kind != "rating" or not self.answered:
            return 0.0
        return sum(float(answer) * count for answer, count in self.counts.items()) / self.answered

    @property
    def most_frequent(self) -> Sequence[tuple[str, int]]:
        """Answers and how often, the most frequent first."""
        return self.counts.most_common(_MOST_COUNTED)


def read_questionnaires(book: FeedbackBook) -> Iterator[tuple[str, Questionnaire]]:
    """The stored ones by name."""
    for stored in book.questionnaires():
        yield stored.name, Questionnaire.parse(stored.document.encode())


def tally_answers(questionnaire: Questionnaire, given: Iterable[Answered]) -> list[QuestionAnswers]:
    """What was answered, question by question; `given`: the newest first. Questions that are gone are left out."""
    found = {each.name: QuestionAnswers(each.name, each.kind, each.text) for each in questionnaire.questions}
    for answer in given:
        question = found.get(answer.question)
        if question is None or not answer.answer.strip():
            continue
        question.answered += answer.times
        if question.kind != "text":
            question.counts[answer.answer] += answer.times
        elif len(question.latest) < _MOST_TEXTS:
            question.latest.append(answer.answer)
    return list(found.values())


def no_questionnaire(name: str, known: Iterable[str]) -> NotFound:
    """The error for a name that no questionnaire has."""
    there_are = f"There are {', '.join(sorted(known))}." if known else "There are none."
    return NotFound(
        f"There is no questionnaire {name[:64]!r}.",
        reason="QUESTIONNAIRE_NOT_FOUND",
        fix=f"{there_are} `lepton questionnaire set FILE` stores one.",
    )
