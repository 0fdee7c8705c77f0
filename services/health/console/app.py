"""The console over HTTP: the page, the JSON that it asks for, and the stream that keeps it up to date."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_ai.credentials import shown_tokens
from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError, NotFound, Unauthenticated
from lepton_ai.mesh.serving.tokens import Tokens
from services.health.console.answers import answer, refuse
from services.health.console.edges import Edges
from services.health.console.live import LiveFeed

STATIC = Path(__file__).with_name("static")
VIEWS = ("", "topology", "models", "alerts", "metrics", "traces", "feedback", "logs")
"""First parts of the paths that the page itself makes views of."""
_MAX_BODY_BYTES = 1 << 20
_LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
_HEADERS = (
    # Names and texts come from anywhere; even if one slipped through as markup, nothing could run or load.
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

Endpoint = Callable[[Request], Awaitable[Response]]
Json = dict[str, Any]


class Rpcs(Protocol):
    """What asks and does: the gateway."""

    async def read(self, service: str, method: str, request: Json, *, token: str = "") -> Json:
        """See Gateway.read."""

    async def act(self, service: str, method: str, request: Json, *, token: str) -> Json:
        """See Gateway.act."""


class Traces(Protocol):
    """What knows of traces."""

    async def search(self, wanted: Mapping[str, str]) -> list[Json]:
        """See Traced.search."""

    async def services(self) -> list[str]:
        """See Traced.services."""

    async def waterfall(self, trace_id: str) -> Json:
        """See Traced.waterfall."""

    async def edges(self) -> Json:
        """See Traced.edges."""


class Questions:
    """Endpoints of the JSON API, one method for each kind of question."""

    def __init__(self, gateway: Rpcs, traced: Traces, feed: LiveFeed, tokens: Tokens) -> None:
        self._gateway = gateway
        self._traced = traced
        self._edges = Edges(traced, gateway)
        self._feed = feed
        self._tokens = tokens

    async def read(self, request: Request) -> Response:
        """GET /api/rpc/SERVICE/METHOD?request=JSON"""
        asked = _parse(request.query_params.get("request", "{}"))
        return answer(await self._gateway.read(*_method(request), asked, token=_token(request)))

    async def act(self, request: Request) -> Response:
        """POST /api/rpc/SERVICE/METHOD, with the token in `Authorization`: no other site can make a browser send it."""
        self._identify(request)
        asked = _parse(await _body(request))
        return answer(await self._gateway.act(*_method(request), asked, token=_token(request)))

    async def who(self, request: Request) -> Response:
        """GET /api/who: whose token this is; an empty name is the platform's own."""
        return answer({"name": self._identify(request)})

    async def live(self, request: Request) -> Response:
        """GET /api/live: server-sent events."""
        events = await self._feed.events()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def traces(self, request: Request) -> Response:
        """GET /api/traces?service=&operation=&tags=&minDuration=&maxDuration=&limit=&start=&end="""
        return answer({"traces": await self._traced.search(dict(request.query_params))})

    async def trace(self, request: Request) -> Response:
        """GET /api/traces/ID"""
        return answer(await self._traced.waterfall(request.path_params["trace_id"]))

    async def trace_services(self, request: Request) -> Response:
        """GET /api/trace-services"""
        return answer({"services": await self._traced.services()})

    async def edges(self, request: Request) -> Response:
        """GET /api/edges"""
        return answer(await self._edges.read())

    def _identify(self, request: Request) -> str:
        if not self._tokens:
            raise FailedPrecondition(
                "This platform has no token, so nothing can be changed from here.",
                reason="NO_TOKEN",
                fix="Set LEPTON_TOKEN or LEPTON_TOKEN_FILE of the health service and of the registry.",
            )
        name = self._tokens.identify(_metadata(request))
        if name is None:
            raise Unauthenticated(
                "This needs the platform's token.",
                reason="NO_TOKEN",
                fix="It stands in secrets/token of the run directory.",
            )
        return name


def make_app(questions: Questions, forms: ASGIApp, *, loopback_only: bool) -> ASGIApp:
    """The whole application. `forms` are the questionnaires for users, which have headers of their own.

    `loopback_only`: refuse other host names, by which a web site could reach this port.
    """
    hosts = [Middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK_NAMES)] if loopback_only else []
    app = Starlette(
        routes=[
            Route("/api/rpc/{service}/{method}", _checked(questions.read), methods=["GET"]),
            Route("/api/rpc/{service}/{method}", _checked(questions.act), methods=["POST"]),
            Route("/api/who", _checked(questions.who)),
            Route("/api/live", _checked(questions.live)),
            Route("/api/traces", _checked(questions.traces)),
            Route("/api/traces/{trace_id}", _checked(questions.trace)),
            Route("/api/trace-services", _checked(questions.trace_services)),
            Route("/api/edges", _checked(questions.edges)),
            Route("/api/{rest:path}", _checked(_unknown)),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/form", forms),
            Route("/{rest:path}", _page),
        ],
        middleware=hosts,
    )
    return _with_headers(app)


async def _page(request: Request) -> Response:
    first = request.path_params["rest"].partition("/")[0]
    # The page says itself that there is no such view; the status says it to programs.
    return FileResponse(STATIC / "index.html", 200 if first in VIEWS else 404, headers={"Cache-Control": "no-cache"})


async def _unknown(request: Request) -> Response:
    raise NotFound("There is no such question.")


def _checked(endpoint: Endpoint) -> Endpoint:
    async def checked(request: Request) -> Response:
        try:
            return await endpoint(request)
        except LeptonError as error:
            return refuse(error)

    return checked


def _with_headers(app: ASGIApp) -> ASGIApp:
    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith("/form/"):
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await app(scope, receive, sending)

    return with_headers


def _method(request: Request) -> tuple[str, str]:
    return request.path_params["service"], request.path_params["method"]


def _metadata(request: Request) -> list[tuple[str, str | bytes]]:
    return [("authorization", request.headers.get("authorization", ""))]


def _token(request: Request) -> str:
    """The one that is shown; empty when none is."""
    return next((each.decode() for each in shown_tokens(_metadata(request))), "")


async def _body(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise InvalidInput.of_field("content-type", "is not application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise InvalidInput.of_field("body", f"is larger than {_MAX_BODY_BYTES} bytes")
    return body.decode(errors="replace")


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidInput.of_field("request", "is no JSON") from error
    if not isinstance(document, dict):
        raise InvalidInput.of_field("request", "is no JSON object")
    return document
