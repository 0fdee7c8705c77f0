"""Questionnaires are data: a YAML document with a title and questions, in one language and translations of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from lepton_ai.errors import FieldViolation, InvalidInput
from lepton_ai.package.document import load_document
from lepton_ai.package.violations import invalid
from lepton_ai.references import check_name

_FILE = "questionnaire"
_YES, _NO = "up", "down"
MAX_TEXT_CHARS = 4000
_MAX_LABEL_CHARS = 1000

Words = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)]
QuestionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Question(_Part):
    """One question.

    `thumb` takes up or down, `rating` 1 to 5, `choice` one of its choices, `label` what is right (one of its choices,
    if it has any), `text` anything. The first thumb, rating, label and text also count as feedback of that kind.
    """

    name: QuestionName
    kind: Literal["rating", "choice", "text", "thumb", "label"]
    text: Words
    required: bool = False
    choices: Annotated[tuple[Words, ...], Field(max_length=1000)] = ()

    def check(self, answer: str, field: str) -> None:
        """Raises InvalidInput for an answer that it does not take."""
        allowed = self.allowed
        if allowed and answer not in allowed:
            shown = ", ".join(allowed[:20]) + (", …" if len(allowed) > 20 else "")
            raise InvalidInput.of_field(field, f"is {answer[:64]!r}", fix=f"Answer one of {shown}.")
        most = _MAX_LABEL_CHARS if self.kind == "label" else MAX_TEXT_CHARS
        if len(answer) > most:
            raise InvalidInput.of_field(field, f"has {len(answer):,} characters, at most {most:,} are kept")

    @property
    def allowed(self) -> Sequence[str]:
        """All answers that it takes; empty for any text."""
        fixed = {"thumb": (_YES, _NO), "rating": tuple("12345")}
        return fixed.get(self.kind, self.choices)


class TranslatedQuestion(_Part):
    """The words of a question in another language."""

    text: Words
    choices: Annotated[dict[str, Words], Field(max_length=1000)] = {}
    """By what they are in the original, which is what is stored."""


class Translation(_Part):
    """The words of a questionnaire in another language; what is left out is shown as it is."""

    title: Words
    intro: Annotated[str, StringConstraints(max_length=2000)] = ""
    questions: Annotated[dict[str, TranslatedQuestion], Field(max_length=100)] = {}
    """By name."""


class Questionnaire(_Part):
    """The content of the document."""

    questionnaire: str
    """Its name."""
    title: Words
    intro: Annotated[str, StringConstraints(max_length=2000)] = ""
    language: Language = "en"
    questions: Annotated[tuple[Question, ...], Field(min_length=1, max_length=100)]
    translations: Annotated[dict[Language, Translation], Field(max_length=50)] = {}

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """The questionnaire in a YAML document. Raises InvalidInput naming what is wrong with line and column."""
        content, positions = load_document(document, name=_FILE)
        with positions.told():
            try:
                found = cls.model_validate_json(json.dumps(content))
            except ValidationError as error:
                raise invalid(error, cls, file=_FILE) from error
            found._check()
        return found

    def check_answers(self, answers: Mapping[str, str], *, field: str = "answers") -> None:
        """Raises InvalidInput with every answer that is wrong, missing, or to a question that there is not."""
        questions = {question.name: question for question in self.questions}
        wrong: list[FieldViolation] = []
        for name, answer in answers.items():
            try:
                self._check_answer(questions, name, answer, f"{field}.{name}")
            except InvalidInput as error:
                wrong += [
                    FieldViolation(each.field, f"{each.description}. {error.fix}".strip()) for each in error.fields
                ]
        for question in self.questions:
            if question.required and not answers.get(question.name, "").strip():
                wrong.append(FieldViolation(f"{field}.{question.name}", "is missing"))
        if wrong:
            told = "; ".join(f"{each.field}: {each.description}" for each in wrong)
            raise InvalidInput(told, fields=tuple(wrong), reason="WRONG_ANSWERS")

    def first_answer(self, kind: str, answers: Mapping[str, str]) -> str | None:
        """The answer to the first question of a kind that was answered."""
        given = (answers.get(question.name, "").strip() for question in self.questions if question.kind == kind)
        return next((answer for answer in given if answer), None)

    def language_for(self, wanted: Sequence[str]) -> str:
        """The first of the wanted languages that there is, else its own; "zh" and "zh-TW" go together if need be."""
        there_are = {known.lower(): known for known in (self.language, *self.translations)}
        for language in (each.lower() for each in wanted):
            near = (known for known in there_are if known.partition("-")[0] == language.partition("-")[0])
            found = language if language in there_are else next(near, None)
            if found is not None:
                return there_are[found]
        return self.language

    def in_language(self, language: str) -> Translation:
        """All words in a language; what is not translated as it is."""
        translated = self.translations.get(language, Translation(title=self.title, intro=self.intro))
        questions = {}
        for question in self.questions:
            given = translated.questions.get(question.name, TranslatedQuestion(text=question.text))
            choices = {choice: given.choices.get(choice, choice) for choice in question.choices}
            questions[question.name] = TranslatedQuestion(text=given.text, choices=choices)
        return Translation(title=translated.title, intro=translated.intro or self.intro, questions=questions)

    @staticmethod
    def _check_answer(questions: Mapping[str, Question], name: str, answer: str, field: str) -> None:
        if name not in questions:
            fix = f"There are {', '.join(questions)}."
            raise InvalidInput.of_field(field, "is no question of this questionnaire", fix=fix)
        if answer.strip():
            questions[name].check(answer, field)

    def _check(self) -> None:
        check_name(self.questionnaire, field="questionnaire")
        names = [question.name for question in self.questions]
        for index, question in enumerate(self.questions):
            field = f"questions[{index}]"
            if question.name in names[:index]:
                raise InvalidInput.of_field(f"{field}.name", "is used twice")
            if question.kind == "choice" and not question.choices:
                raise InvalidInput.of_field(f"{field}.choices", "is missing", fix="Name what can be chosen.")
            if question.kind not in ("choice", "label") and question.choices:
                raise InvalidInput.of_field(f"{field}.choices", f"is given, but a {question.kind} has none")
            if len(set(question.choices)) < len(question.choices):
                raise InvalidInput.of_field(f"{field}.choices", "names one of them twice")
        for language, translation in self.translations.items():
            self._check_translation(translation, f"translations.{language}")

    def _check_translation(self, translation: Translation, field: str) -> None:
        questions = {question.name: question for question in self.questions}
        for name, translated in translation.questions.items():
            if name not in questions:
                raise InvalidInput.of_field(f"{field}.questions.{name}", "is not the name of a question")
            for choice in translated.choices:
                if choice not in questions[name].choices:
                    raise InvalidInput.of_field(
                        f"{field}.questions.{name}.choices.{choice}", "is not one of its choices"
                    )
