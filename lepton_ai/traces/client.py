"""Fetches traces over Jaeger's query JSON, from the local trace store or from Jaeger itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, build_opener

from lepton_ai.errors import InternalError, InvalidInput, NotFound, Unavailable
from lepton_ai.traces.query import parse_trace_id
from lepton_ai.traces.tree import TraceTree, build_tree, is_complete

Json = dict[str, Any]

_MAX_ANSWER_BYTES = 256 * 1024 * 1024
_POLL_INTERVAL_S = 0.2


class TraceClient:
    """Asks one store or Jaeger, at the URL of its page."""

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        """`timeout_s` is for one request. Raises InvalidInput when the URL is not http:// or https://."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise InvalidInput.of_field("url", "must look like http://127.0.0.1:16686")
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._opener: OpenerDirector = build_opener(ProxyHandler({}))  # a proxy could not reach it: it is local

    def page_url(self, trace_id: str) -> str:
        """Where a browser shows the trace; Jaeger has it at the same place."""
        return f"{self._url}/trace/{trace_id}"

    def fetch(self, trace_id: str) -> Json:
        """A trace in Jaeger's JSON.

        Raises InvalidInput for what is no trace id, NotFound, and Unavailable when nothing answers at the URL.
        """
        key = parse_trace_id(trace_id).hex()
        traces: list[Json] = self._ask(f"/api/traces/{quote(key)}")
        if not traces:
            raise _unknown(key)
        return traces[0]

    def find(self, wanted: Mapping[str, str]) -> list[Json]:
        """The traces that are wanted, in Jaeger's words (service, operation, tags, limit, start and end in µs).

        Raises InvalidInput for a question that it refuses, Unavailable when nothing answers at the URL.
        """
        return self._ask(f"/api/traces?{urlencode(wanted)}")

    def services(self) -> list[str]:
        """The services that spans are stored of. Raises Unavailable when nothing answers at the URL."""
        return [str(name) for name in self._ask("/api/services")]

    def wait(self, trace_id: str, *, timeout_s: float, is_done: Callable[[TraceTree], bool] = is_complete) -> Json:
        """Fetch until the trace is complete (or `is_done` says so), at most `timeout_s`; then what there is of it.

        Exporters send in batches, so the spans of a request arrive over some seconds. Raises as `fetch` does.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            try:
                trace: Json | None = self.fetch(trace_id)
            except NotFound:
                trace = None
            if trace is not None and is_done(build_tree(trace)):
                return trace
            if time.monotonic() + _POLL_INTERVAL_S > end_s:
                break
            time.sleep(_POLL_INTERVAL_S)
        if trace is None:
            raise _unknown(trace_id)
        return trace

    def _ask(self, path: str) -> list[Any]:
        try:
            with self._opener.open(self._url + path, timeout=self._timeout_s) as response:
                body = response.read(_MAX_ANSWER_BYTES)
        except HTTPError as error:
            with error:  # it holds the connection
                if error.code == 404:
                    return []
                if error.code == 400:
                    raise InvalidInput.of_field("query", "is refused by the trace store") from error
                raise InternalError(f"The trace store answered with HTTP {error.code}.") from error
        except (OSError, HTTPException) as error:
            raise Unavailable(
                f"No trace store answers at {self._url}.", fix="Check `lepton status`, or name another with --url."
            ) from error
        try:
            data = json.loads(body)["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise InternalError(f"What answers at {self._url} does not speak Jaeger's query JSON.") from error
        return data or []


def _unknown(trace_id: str) -> NotFound:
    return NotFound(
        f"There is no trace {trace_id}.",
        fix="Only sampled requests are traced (`lepton predict --trace` always is), and old traces make room for new.",
    )
