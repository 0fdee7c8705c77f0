"""The HTTP side of the trace store: Jaeger's query API, the page's own two questions, and the page."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from lepton_ai.errors import InvalidInput, LeptonError, NotFound, Unavailable
from lepton_ai.traces import search
from lepton_ai.traces.edges import dependencies
from lepton_ai.traces.jaeger import Json
from lepton_ai.traces.otlp_http import PATH, OtlpEndpoint
from lepton_ai.traces.query import (
    Parameters,
    parse_dependency_query,
    parse_limit,
    parse_operations_query,
    parse_query,
    parse_trace_id,
)
from lepton_ai.traces.reader import TraceReader
from lepton_ai.traces.waterfall import waterfall

_logger = logging.getLogger(__name__)
_PAGE = Path(__file__).with_name("page")
_STATUS_OF: dict[type[LeptonError], int] = {InvalidInput: 400, NotFound: 404, Unavailable: 503}
_PAGE_HEADERS = {
    # Span names and tags come from anywhere; even if one slipped through as markup, nothing could run or load.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Answer = Callable[[Request], Any]


class QueryApi:
    """Answers questions in Jaeger's envelope: {"data", "total", "limit", "offset", "errors"}."""

    def __init__(self, reader: TraceReader) -> None:
        self._reader = reader

    def services(self, request: Request) -> list[str]:
        """GET /api/services"""
        return search.services(self._reader)

    def operations(self, request: Request) -> list[str]:
        """GET /api/services/{service}/operations"""
        return search.operations(self._reader, request.path_params["service"])

    def operations_by_kind(self, request: Request) -> list[Json]:
        """GET /api/operations?service=&spanKind="""
        service, kind = parse_operations_query(_parameters(request))
        return search.operations_by_kind(self._reader, service, kind=kind)

    def dependencies(self, request: Request) -> list[Json]:
        """GET /api/dependencies?endTs=&lookback=&service="""
        query = parse_dependency_query(_parameters(request), now_us=time.time_ns() // 1000)
        return dependencies(self._reader, query)

    def traces(self, request: Request) -> list[Any]:
        """GET /api/traces?service=…"""
        return search.find_traces(self._reader, parse_query(_parameters(request), now_us=time.time_ns() // 1000))

    def trace(self, request: Request) -> list[Any]:
        """GET /api/traces/{trace_id}"""
        return [self._find(request)]

    def recent(self, request: Request) -> list[Any]:
        """GET /api/lepton/recent?service=&limit=: one short line a trace, for the page."""
        service = request.query_params.get("service", "")
        lines = search.recent_traces(self._reader, service=service, limit=parse_limit(_parameters(request)))
        return [dataclasses.asdict(line) for line in lines]

    def waterfall(self, request: Request) -> list[Any]:
        """GET /api/lepton/waterfall/{trace_id}: the rows to draw, for the page."""
        return [waterfall(self._find(request))]

    def _find(self, request: Request) -> Json:
        trace = search.find_trace(self._reader, parse_trace_id(request.path_params["trace_id"]))
        if trace is None:
            raise NotFound("trace not found")
        return trace


def make_app(reader: TraceReader, otlp: OtlpEndpoint) -> ASGIApp:
    """The whole HTTP application."""
    others = _make_other_routes(reader, otlp)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_export = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        await (otlp if is_export else others)(scope, receive, send)

    return app


def _make_other_routes(reader: TraceReader, otlp: OtlpEndpoint) -> Starlette:
    api = QueryApi(reader)
    return Starlette(
        routes=[
            Route(PATH, otlp, methods=["POST"]),  # for its answer to other methods
            Route("/api/services", _endpoint(api.services, counted=True)),
            Route("/api/services/{service:path}/operations", _endpoint(api.operations, counted=True)),
            Route("/api/operations", _endpoint(api.operations_by_kind, counted=True)),
            Route("/api/dependencies", _endpoint(api.dependencies)),
            Route("/api/traces", _endpoint(api.traces)),
            Route("/api/traces/{trace_id}", _endpoint(api.trace)),
            Route("/api/lepton/recent", _endpoint(api.recent)),
            Route("/api/lepton/waterfall/{trace_id}", _endpoint(api.waterfall)),
            Route("/healthz", _healthz(reader)),
            Route("/metrics", _metrics(otlp.registry)),
            Route("/", _page("list.html")),
            Route("/search", _page("list.html")),  # where Jaeger has its list
            Route("/trace/{trace_id}", _page("trace.html")),
            Mount("/static", StaticFiles(directory=_PAGE)),
        ]
    )


def _endpoint(answer: Answer, *, counted: bool = False) -> Callable[[Request], Awaitable[Response]]:
    """Run a question in a thread (SQLite blocks) and put its answer or error into Jaeger's envelope.

    `counted`: its total is the number of answers; Jaeger says 0 of traces and dependencies.
    """

    async def endpoint(request: Request) -> Response:
        try:
            data = await asyncio.to_thread(answer, request)
            return _envelope(data, total=len(data) if counted else 0)
        except LeptonError as error:
            status = _STATUS_OF.get(type(error), 500)
            return _envelope(None, status=status, errors=[{"code": status, "msg": error.message}])
        except sqlite3.Error:
            _logger.exception("a query failed")
            return _envelope(None, status=500, errors=[{"code": 500, "msg": "the trace database cannot be read"}])

    return endpoint


def _envelope(
    data: list[Any] | None, *, total: int = 0, status: int = 200, errors: list[Any] | None = None
) -> Response:
    document = {"data": data, "total": total, "limit": 0, "offset": 0, "errors": errors}
    return Response(
        json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _healthz(reader: TraceReader) -> Callable[[Request], Awaitable[Response]]:
    async def healthz(request: Request) -> Response:
        try:
            await asyncio.to_thread(reader.query, "SELECT 1 FROM exports LIMIT 1")
        except sqlite3.Error:
            _logger.exception("the health check failed")
            return Response("the trace database cannot be read\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    return healthz


def _metrics(registry: CollectorRegistry) -> Callable[[Request], Awaitable[Response]]:
    ProcessCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return metrics


def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return FileResponse(_PAGE / name, headers=_PAGE_HEADERS)

    return page


def _parameters(request: Request) -> Parameters:
    return {name: request.query_params.getlist(name) for name in request.query_params}
