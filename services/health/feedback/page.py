"""A form that users fill in: plain HTML of a questionnaire, without a script, to be shown alone or in a frame."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from lepton_ai.errors import InvalidInput, LeptonError, NotFound, ResourceExhausted
from lepton_ai.feedback.questionnaire import Questionnaire
from lepton_ai.mesh.prediction_ids import parse_prediction_id
from lepton_ai.v1 import feedback_pb2
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.forms.html import Filled, Words, render_form, render_message, words_in

_MAX_BODY_BYTES = 256 << 10
_MOST_FIELDS = 200
_MAX_USER_CHARS = 1000
_STYLE = (Path(__file__).parent / "forms" / "form.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def form_app(desk: FeedbackDesk, *, frame_ancestors: str = "'none'") -> Starlette:
    """GET and POST /{questionnaire}?prediction=ID: mount it at /form. `lang` chooses a language, `user` says who it is.

    `frame_ancestors`: the pages that may show it in a frame, as in the Content-Security-Policy.
    """
    form = _Form(desk, frame_ancestors)
    return Starlette(routes=[Route("/{questionnaire}", form.answer, methods=["GET", "POST"])])


class _Form:
    def __init__(self, desk: FeedbackDesk, frame_ancestors: str) -> None:
        self._desk = desk
        self._headers = {
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
            f"base-uri 'none'; frame-ancestors {frame_ancestors}",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    async def answer(self, request: Request) -> Response:
        """The form, what is wrong in it, or thanks."""
        words = words_in(_wanted_languages(request))
        try:
            questionnaire = self._desk.questionnaire(request.path_params["questionnaire"])
        except NotFound:
            return self._message(words, words.no_form, 404)
        try:
            prediction = str(parse_prediction_id(request.query_params.get("prediction", "")))
        except InvalidInput:
            return self._message(words, words.no_prediction, 400)
        language = questionnaire.language_for(_wanted_languages(request))
        words = words_in([language])
        if request.method == "GET":
            return self._page(render_form(questionnaire, language, Filled()), questionnaire, language)
        answers = await _read_answers(request)
        if answers is None:
            return self._message(words, words.too_large, 413)
        return await self._submit(request, questionnaire, language, prediction, answers)

    async def _submit(
        self, request: Request, questionnaire: Questionnaire, language: str, prediction: str, answers: dict[str, str]
    ) -> Response:
        words = words_in([language])
        feedback = feedback_pb2.Feedback(
            prediction_id=prediction,
            answers=answers,
            questionnaire=questionnaire.questionnaire,
            user=request.query_params.get("user", "")[:_MAX_USER_CHARS],
        )
        host = request.client.host if request.client is not None else ""
        try:
            (outcome,) = await self._desk.submit([feedback], source=f"form:{host}", trusted=False)
        except ResourceExhausted:
            return self._message(words, words.too_many, 429)
        if isinstance(outcome, LeptonError):
            wrong = {each.field.rpartition(".")[2]: each.description for each in outcome.fields}
            filled = Filled(answers, wrong)
            return self._page(render_form(questionnaire, language, filled), questionnaire, language, status=422)
        return self._message(words, words.thanks, 200)

    def _page(self, body: str, questionnaire: Questionnaire, language: str, *, status: int = 200) -> Response:
        return self._html(body, questionnaire.in_language(language).title, language, status)

    def _message(self, words: Words, text: str, status: int) -> Response:
        return self._html(render_message(text), text, words.language, status)

    def _html(self, body: str, title: str, language: str, status: int) -> Response:
        content = (
            f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
            f"<style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
        )
        return HTMLResponse(content, status_code=status, headers=self._headers)


async def _read_answers(request: Request) -> dict[str, str] | None:
    """The fields that were filled in; None for more than a form holds."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            return None
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
    return {name: values[0].strip() for name, values in fields.items() if values[0].strip()}


def _wanted_languages(request: Request) -> list[str]:
    """The `lang` of the address, then what the browser says, the most wanted first."""
    wanted = [request.query_params["lang"]] if "lang" in request.query_params else []
    weighed: list[tuple[float, str]] = []
    for part in request.headers.get("accept-language", "")[:1000].split(","):
        language, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), language.strip()))
        except ValueError:
            continue
    return wanted + [language for _, language in sorted(weighed, key=lambda each: each[0]) if language]
