"""Questionnaires are data that say exactly what is wrong with them, and with answers to them."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.feedback.questionnaire import Questionnaire

DOCUMENT = """
questionnaire: animals
title: Was this right?
intro: It takes half a minute.
questions:
  - {name: good, kind: thumb, text: 'Was the answer right?', required: true}
  - {name: animal, kind: label, text: 'What is it really?', choices: [cat, dog]}
  - {name: stars, kind: rating, text: 'How useful was it?'}
  - {name: why, kind: choice, text: 'What was wrong?', choices: [slow, wrong]}
  - {name: more, kind: text, text: 'Anything else?'}
translations:
  zh:
    title: 回答正确吗？
    questions:
      good: {text: 回答正确吗？}
      animal: {text: 实际上是什么？, choices: {cat: 猫, dog: 狗}}
"""
ANIMALS = Questionnaire.parse(DOCUMENT.encode())


def test_a_questionnaire_is_shown_in_the_language_that_is_wanted_as_far_as_it_is_translated() -> None:
    assert ANIMALS.language_for(["fr", "zh-CN", "en"]) == "zh"
    assert ANIMALS.language_for(["fr"]) == "en"
    shown = ANIMALS.in_language("zh")
    assert (shown.title, shown.intro) == ("回答正确吗？", "It takes half a minute.")
    assert shown.questions["animal"].choices == {"cat": "猫", "dog": "狗"}
    assert shown.questions["why"].choices == {"slow": "slow", "wrong": "wrong"}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("kind: thumb", "kind: thumbs", r"questions\[0\].kind.*line 6"),
        ("name: stars", "name: good", r"questions\[2\].name: is used twice \(line 8, column 12\)"),
        ("choices: [slow, wrong]", "required: true", r"questions\[3\].choices: is missing"),
        ("'Anything else?'", "'Anything else?', choices: [a]", r"a text has none"),
        ("[cat, dog]", "[cat, cat]", r"names one of them twice"),
        ("dog: 狗", "fox: 狐", r"translations.zh.questions.animal.choices.fox: is not one of its choices"),
        ("good: {text", "bad: {text", r"translations.zh.questions.bad: is not the name of a question"),
        ("required: true", "require: true", r"is not a known field; did you mean 'required'\? \(line 6"),
        ("questionnaire: animals", "questionnaire: ../etc", "questionnaire"),
        ("title: Was this right?", "", "title: is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(before: str, after: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Questionnaire.parse(DOCUMENT.replace(before, after, 1).encode())


def test_right_answers_are_taken() -> None:
    ANIMALS.check_answers({"good": "up", "animal": "dog", "stars": "5", "why": "slow", "more": "谢谢"})
    ANIMALS.check_answers({"good": "down", "animal": ""})


def test_every_wrong_answer_is_told() -> None:
    answers = {"animal": "fox", "stars": "6", "why": "dear", "more": "x" * 5000, "who": "me"}
    with pytest.raises(InvalidInput) as caught:
        ANIMALS.check_answers(answers)
    told = {each.field: each.description for each in caught.value.fields}
    assert set(told) == {f"answers.{name}" for name in (*answers, "good")}
    assert told["answers.good"] == "is missing"
    assert "Answer one of 1, 2, 3, 4, 5." in told["answers.stars"]


def test_the_first_answer_of_a_kind_is_found() -> None:
    assert ANIMALS.first_answer("label", {"animal": "dog"}) == "dog"
    assert ANIMALS.first_answer("rating", {"animal": "dog"}) is None
