"""The console over HTTP, without a socket: the page, its headers, questions, and what needs the token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.serving.tokens import Tokens
from services.health.console.app import STATIC, VIEWS
from tests.console import TOKEN, ScriptedConsole

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
PAUSE = {"model": "digits", "action": "ROLLOUT_ACTION_PAUSE"}


def client(console: ScriptedConsole, host: str = "127.0.0.1:8080") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url=f"http://{host}")


@pytest.fixture
async def console() -> ScriptedConsole:
    return ScriptedConsole()


@pytest.fixture
async def http(console: ScriptedConsole) -> AsyncIterator[httpx.AsyncClient]:
    async with client(console) as opened:
        yield opened


@pytest.mark.parametrize("view", VIEWS)
async def test_every_view_has_an_address_of_its_own(http: httpx.AsyncClient, view: str) -> None:
    answer = await http.get(f"/{view}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


async def test_an_unknown_address_is_the_page_with_404(http: httpx.AsyncClient) -> None:
    answer = await http.get("/no-such-view")
    assert answer.status_code == 404
    assert '<div id="shell">' in answer.text


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/edges", "/no-such-view"])
async def test_nothing_from_elsewhere_may_run_or_frame_it(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"


async def test_the_page_has_no_script_or_style_of_its_own(http: httpx.AsyncClient) -> None:
    page = (await http.get("/")).text
    assert "style=" not in page
    assert "<style" not in page
    assert page.count("<script") == page.count("<script src=") + page.count('<script type="module" src=')


async def test_other_host_names_are_refused(console: ScriptedConsole) -> None:
    async with client(console, "attacker.example") as http:
        assert (await http.get("/api/edges")).status_code == 400


async def test_an_rpc_is_asked_as_json(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/rpc/RegistryService/ListModels", params={"request": '{"summary": true}'})
    assert answer.json() == {"models": [], "next_page_token": ""}
    assert answer.headers["cache-control"] == "no-store"


async def test_an_error_says_what_to_do(console: ScriptedConsole, http: httpx.AsyncClient) -> None:
    console.gateway.answers["ListModels"] = Unavailable("No registry answers.", reason="GONE", fix="Start it.")
    answer = await http.get("/api/rpc/RegistryService/ListModels")
    assert answer.status_code == 503
    assert answer.json()["error"] == {
        "code": "UNAVAILABLE",
        "reason": "GONE",
        "message": "No registry answers.",
        "fix": "Start it.",
    }


@pytest.mark.parametrize("request_text", ["no json", "[]", "17"])
async def test_a_question_that_is_no_object_is_refused(http: httpx.AsyncClient, request_text: str) -> None:
    answer = await http.get("/api/rpc/RegistryService/ListModels", params={"request": request_text})
    assert answer.status_code == 400


async def test_an_unknown_question_is_json_too(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/none")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
async def test_nothing_changes_without_the_token(
    console: ScriptedConsole, http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.post("/api/rpc/RegistryService/ControlRollout", json=PAUSE, headers=headers)
    assert answer.status_code == 401
    assert console.gateway.done == []


async def test_with_the_token_something_does_and_the_token_goes_along(
    console: ScriptedConsole, http: httpx.AsyncClient
) -> None:
    answer = await http.post("/api/rpc/RegistryService/ControlRollout", json=PAUSE, headers=AUTHORIZED)
    assert answer.status_code == 200
    assert console.gateway.done == [("ControlRollout", PAUSE, TOKEN)]


async def test_a_form_of_another_site_changes_nothing(console: ScriptedConsole, http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/api/rpc/RegistryService/ControlRollout", data=PAUSE, headers={**AUTHORIZED, "Content-Type": "text/plain"}
    )
    assert answer.status_code == 400
    assert console.gateway.done == []


async def test_a_huge_request_is_refused(console: ScriptedConsole, http: httpx.AsyncClient) -> None:
    huge = {"model": "x" * (2 << 20)}
    answer = await http.post("/api/rpc/RegistryService/ControlRollout", json=huge, headers=AUTHORIZED)
    assert answer.status_code == 400
    assert console.gateway.done == []


async def test_a_platform_without_a_token_cannot_be_changed_from_here() -> None:
    async with client(ScriptedConsole(tokens=Tokens())) as http:
        answer = await http.post("/api/rpc/RegistryService/ControlRollout", json=PAUSE, headers=AUTHORIZED)
    assert answer.status_code == 409
    assert "LEPTON_TOKEN" in answer.json()["error"]["fix"]


async def test_whose_token_it_is_can_be_asked(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/who", headers=AUTHORIZED)).json() == {"name": ""}
    assert (await http.get("/api/who")).status_code == 401


async def test_files_outside_the_page_are_not_served(http: httpx.AsyncClient) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert (await http.get(path)).status_code == 404


def test_every_script_that_is_imported_is_there() -> None:
    import re

    for script in STATIC.rglob("*.js"):
        if "vendor" not in script.parts:
            for wanted in re.findall(r'from "(\.[^"]+)"', script.read_text("utf-8")):
                assert (script.parent / wanted).is_file(), f"{script.name} → {wanted}"
