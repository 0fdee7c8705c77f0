"""The HTML of a questionnaire: every question has a label, every error stands at its question. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from lepton_ai.feedback.questionnaire import MAX_TEXT_CHARS, Question, Questionnaire, TranslatedQuestion


@dataclass(frozen=True)
class Words:
    """What the form says itself."""

    language: str
    submit: str
    required: str
    choose: str
    up: str
    down: str
    worst: str
    best: str
    thanks: str
    wrong: str
    missing: str
    no_form: str
    no_prediction: str
    too_large: str
    too_many: str


_ENGLISH = Words(
    language="en",
    submit="Send",
    required="required",
    choose="Please choose",
    up="Yes, it was good",
    down="No, it was not",
    worst="1 is bad",
    best="5 is good",
    thanks="Thank you. Your answers have been sent.",
    wrong="Please look at these answers once more:",
    missing="Please answer this question.",
    no_form="There is no such form.",
    no_prediction="This address lacks the prediction that the form is about.",
    too_large="This is more than a form can take.",
    too_many="Too much was sent from here. Please try again in a minute.",
)
_CHINESE = Words(
    language="zh",
    submit="提交",
    required="必填",
    choose="请选择",
    up="是，很好",
    down="不，不好",
    worst="1 表示很差",
    best="5 表示很好",
    thanks="谢谢！您的回答已提交。",
    wrong="请再检查以下回答：",
    missing="请回答这个问题。",
    no_form="没有这个表单。",
    no_prediction="此网址缺少表单所针对的预测。",
    too_large="内容超过了表单的上限。",
    too_many="提交过于频繁，请一分钟后再试。",
)


@dataclass(frozen=True)
class Filled:
    """What somebody has filled in, and what is wrong with it."""

    answers: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    """By the names of questions."""


def words_in(languages: Sequence[str]) -> Words:
    """In the first of these languages that the form speaks, else in English."""
    for language in languages:
        start = language.lower().partition("-")[0]
        if start in ("zh", "en"):
            return _CHINESE if start == "zh" else _ENGLISH
    return _ENGLISH


def render_message(text: str) -> str:
    """A page of one sentence."""
    return f'<p role="status">{escape(text)}</p>'


def render_form(questionnaire: Questionnaire, language: str, filled: Filled) -> str:
    """The form in a language; it is sent to where it came from."""
    shown, words = questionnaire.in_language(language), words_in([language])
    parts = [f"<h1>{escape(shown.title)}</h1>"]
    if shown.intro:
        parts.append(f"<p>{escape(shown.intro)}</p>")
    if filled.wrong:
        links = "".join(
            f'<li><a href="#q-{escape(each.name)}">{escape(shown.questions[each.name].text)}</a></li>'
            for each in questionnaire.questions
            if each.name in filled.wrong
        )
        parts.append(f'<div role="alert" class="errors"><p>{escape(words.wrong)}</p><ul>{links}</ul></div>')
    parts.append('<form method="post" accept-charset="utf-8">')
    parts += [_question(each, shown.questions[each.name], words, filled) for each in questionnaire.questions]
    parts.append(f"<button>{escape(words.submit)}</button></form>")
    return "".join(parts)


def _question(question: Question, shown: TranslatedQuestion, words: Words, filled: Filled) -> str:
    name, answer = escape(question.name), filled.answers.get(question.name, "")
    mark = f' <span class="required">({escape(words.required)})</span>' if question.required else ""
    is_wrong = question.name in filled.wrong
    told = f'<p class="wrong" id="wrong-{name}">{escape(_wrong(question, words, filled))}</p>' if is_wrong else ""
    described = f' aria-invalid="true" aria-describedby="wrong-{name}"' if is_wrong else ""
    if question.kind in ("thumb", "rating") or (question.kind == "choice" and len(shown.choices) <= 7):
        options = "".join(
            _radio(question, value, text, answer, described) for value, text in _options(question, shown, words)
        )
        scale = (
            f'<p class="scale">{escape(words.worst)} · {escape(words.best)}</p>' if question.kind == "rating" else ""
        )
        return (
            f'<fieldset id="q-{name}" class="{question.kind}"><legend>{escape(shown.text)}{mark}</legend>{told}'
            f'<div class="options">{options}</div>{scale}</fieldset>'
        )
    label = f'<label for="q-{name}">{escape(shown.text)}{mark}</label>{told}'
    return f'<div class="question">{label}{_field(question, shown, words, answer, described)}</div>'


def _field(question: Question, shown: TranslatedQuestion, words: Words, answer: str, described: str) -> str:
    name = escape(question.name)
    attributes = f'id="q-{name}" name="{name}"{" required" if question.required else ""}{described}'
    if question.kind == "text":
        return f'<textarea {attributes} rows="4" maxlength="{MAX_TEXT_CHARS}">{escape(answer)}</textarea>'
    if not shown.choices:
        return f'<input {attributes} type="text" maxlength="1000" value="{escape(answer)}">'
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == answer else ""}>{escape(text)}</option>'
        for value, text in shown.choices.items()
    )
    return f'<select {attributes}><option value="">{escape(words.choose)}</option>{options}</select>'


def _options(question: Question, shown: TranslatedQuestion, words: Words) -> list[tuple[str, str]]:
    """Values with what is shown for them."""
    match question.kind:
        case "thumb":
            return [("up", f"✓ {words.up}"), ("down", f"✗ {words.down}")]
        case "rating":
            return [(str(number), str(number)) for number in range(1, 6)]
    return list(shown.choices.items())


def _radio(question: Question, value: str, text: str, answer: str, described: str) -> str:
    checked = " checked" if value == answer else ""
    required = " required" if question.required else ""
    attributes = f'name="{escape(question.name)}" value="{escape(value)}"{checked}{required}{described}'
    return f'<label><input type="radio" {attributes}><span>{escape(text)}</span></label>'


def _wrong(question: Question, words: Words, filled: Filled) -> str:
    return filled.wrong[question.name] if filled.answers.get(question.name) else words.missing
