"""The form that users fill in: without scripts, in their language, safe whatever anybody writes into it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from lepton_ai.mesh.prediction_ids import make_prediction_id, version_tag
from services.health.feedback.book import Kind, State
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.page import form_app
from tests.unit.feedback.test_questionnaire import DOCUMENT
from tests.unit.health.feedback.batches import MODEL, told
from tests.unit.health.feedback.test_desk import open_desk

ODD = """
questionnaire: odd
title: '<script>alert(1)</script>'
intro: '</p><img src=x onerror=alert(1)>'
questions:
  - {name: q, kind: label, text: '"><script>alert(2)</script>', choices: ['"><b>x</b>', '&amp;']}
"""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[FeedbackDesk]:
    made = open_desk(tmp_path)
    await made.set_questionnaire(DOCUMENT.encode())
    yield made
    await made.close()


def browsing(desk: FeedbackDesk) -> httpx.AsyncClient:
    app = form_app(desk, frame_ancestors="'self' https://app.example")
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 5000))
    return httpx.AsyncClient(transport=transport, base_url="http://console")


@pytest.fixture
async def browser(desk: FeedbackDesk) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(desk) as client:
        yield client


async def predicted(desk: FeedbackDesk) -> str:
    (made,), batch = told(["cat"])
    await desk.remember([batch])
    return made


async def test_a_form_asks_every_question_with_a_label_of_its_own(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/animals", params={"prediction": make_prediction_id(version_tag(MODEL, 1))})
    assert page.status_code == 200
    assert '<html lang="en">' in page.text
    assert page.text.count("<legend>") == 3
    for name in ("animal", "more"):
        assert f'<label for="q-{name}">' in page.text
        assert f'id="q-{name}"' in page.text
    assert '<form method="post"' in page.text


async def test_no_script_runs_and_only_named_pages_may_frame_it(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/animals", params={"prediction": make_prediction_id("00000")})
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == "'self' https://app.example"
    assert "<script" not in page.text
    assert "style=" not in page.text


async def test_it_speaks_the_language_of_the_browser(browser: httpx.AsyncClient) -> None:
    query = {"prediction": make_prediction_id("00000")}
    page = await browser.get("/animals", params=query, headers={"accept-language": "fr;q=0.3, zh-CN;q=0.9, en;q=0.5"})
    assert '<html lang="zh">' in page.text
    assert ">狗</option>" in page.text
    assert ">提交</button>" in page.text
    chosen = await browser.get("/animals", params={**query, "lang": "en"}, headers={"accept-language": "zh"})
    assert '<html lang="en">' in chosen.text


async def test_answers_are_joined_with_the_prediction_and_count_as_what_they_say(
    browser: httpx.AsyncClient, desk: FeedbackDesk
) -> None:
    made = await predicted(desk)
    answers = {"good": "down", "animal": "dog", "stars": "2", "more": "这是狗"}
    page = await browser.post("/animals", params={"prediction": made, "user": "anna"}, data=answers)
    assert (page.status_code, "Thank you" in page.text) == (200, True)
    said = {each.kind: each.said for each in await desk.find(MODEL, 0, only_bad=False, only_texts=False, limit=10)}
    assert said[Kind.ANSWERS] == {"questionnaire": "animals", "answers": answers}
    assert (said[Kind.THUMB], said[Kind.LABEL], said[Kind.RATING], said[Kind.TEXT]) == (False, "dog", 2.0, "这是狗")
    quality = (await desk.quality(MODEL, since=0.0))[1]
    assert (quality.labelled, quality.right, quality.rated) == (1, 0, 1)
    found = {each.name: each for each in await desk.answers("animals", model=MODEL, since=0.0)}
    assert (found["animal"].most_frequent, found["stars"].mean, found["more"].latest) == ([("dog", 1)], 2.0, ["这是狗"])
    assert (await desk.forget_user("anna")).feedback == 5


async def test_a_form_that_lacks_an_answer_comes_back_with_what_was_filled_in(
    browser: httpx.AsyncClient, desk: FeedbackDesk
) -> None:
    made = await predicted(desk)
    page = await browser.post("/animals", params={"prediction": made}, data={"more": "<b>so</b>", "stars": "9"})
    assert page.status_code == 422
    assert 'role="alert"' in page.text
    assert '<a href="#q-good">' in page.text
    assert re.search(r'name="good"[^>]*aria-invalid="true"[^>]*aria-describedby="wrong-good"', page.text)
    assert "&lt;b&gt;so&lt;/b&gt;</textarea>" in page.text
    assert await desk.find("", 0, only_bad=False, only_texts=False, limit=10) == []


async def test_nothing_in_a_questionnaire_or_an_answer_becomes_markup(
    browser: httpx.AsyncClient, desk: FeedbackDesk
) -> None:
    await desk.set_questionnaire(ODD.encode())
    evil = '"><script>alert(3)</script>'
    for page in (
        await browser.get("/odd", params={"prediction": make_prediction_id("00000"), "lang": evil}),
        await browser.post("/odd", params={"prediction": make_prediction_id("00000")}, data={"q": evil, evil: evil}),
        await browser.get(f"/{evil.replace('/', '')}", params={"prediction": evil}),
    ):
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert "<b>" not in page.text


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [("/none", {"prediction": "0" * 32}, 404), ("/animals", {}, 400), ("/animals", {"prediction": "x"}, 400)],
)
async def test_an_address_that_leads_nowhere_says_so(
    browser: httpx.AsyncClient, path: str, query: dict[str, str], status: int
) -> None:
    page = await browser.get(path, params=query)
    assert page.status_code == status
    assert 'role="status"' in page.text


async def test_what_is_too_much_is_refused(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "small", per_minute=1)
    await desk.set_questionnaire(DOCUMENT.encode())
    made = await predicted(desk)
    async with browsing(desk) as browser:
        page = await browser.post("/animals", params={"prediction": made}, data={"more": "x" * 300_000})
        assert page.status_code == 413
        for number in range(11):
            page = await browser.post("/animals", params={"prediction": made}, data={"good": "down"})
            assert page.status_code == (200 if number < 10 else 429)
    quality = (await desk.quality(MODEL, since=0.0))[1]
    assert quality.bad == 1
    states = [each.state for each in await desk.find(MODEL, 0, only_bad=False, only_texts=False, limit=100)]
    assert states.count(State.QUARANTINED) == 2 * 9, "answers and thumb of all but the first"
    await desk.close()


async def test_questionnaires_survive_and_answers_stay_when_they_go(
    browser: httpx.AsyncClient, desk: FeedbackDesk, tmp_path: Path
) -> None:
    made = await predicted(desk)
    await browser.post("/animals", params={"prediction": made}, data={"good": "up"})
    await desk.remove_questionnaire("animals")
    assert (await browser.get("/animals", params={"prediction": made})).status_code == 404
    await desk.set_questionnaire(DOCUMENT.encode())
    again = open_desk(tmp_path)
    assert [each.name for each in await again.questionnaires()] == ["animals"]
    assert (await again.answers("animals", model="", since=0.0))[0].answered == 1
    await again.close()
