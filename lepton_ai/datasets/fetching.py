"""Fetches web addresses into files: bounded, within a deadline, again after a fault, on from where it broke off."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from lepton_ai.datasets.spool import disk_error
from lepton_ai.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    LeptonError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

T = TypeVar("T")

_CHUNK_BYTES = 256 * 1024
_TRIES = 4
_FIRST_PAUSE_S = 0.1
_FATAL: dict[int, type[LeptonError]] = {401: PermissionDenied, 403: PermissionDenied, 404: NotFound, 410: NotFound}
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is fetched at most."""

    max_files: int = 1_000_000
    max_file_bytes: int = 256 * 1024 * 1024
    max_total_bytes: int = 64 * 1024 * 1024 * 1024
    max_listing_bytes: int = 64 * 1024 * 1024
    """Of one page that lists files."""
    request_timeout_s: float = 30.0
    """Without a byte from the server."""


@dataclass(frozen=True)
class Page:
    """What a server answered, where in the end, and what it says it is."""

    content: bytes
    content_type: str
    url: str


class Fetcher:
    """Fetches under common limits and one deadline; may be used from several threads."""

    def __init__(self, limits: Limits, *, deadline: float) -> None:
        """`deadline` is a time of the monotonic clock."""
        self._limits = limits
        self._deadline = deadline
        self._total_bytes = 0
        self._lock = threading.Lock()

    def read(self, url: str, *, max_bytes: int) -> Page:
        """A small page as a whole. Raises InvalidInput, NotFound, Unavailable, ResourceExhausted, DeadlineExceeded."""

        def read_once() -> Page:
            with self._open(url, {}) as response:
                content = b"".join(self._chunks(response, url, max_bytes))
                return Page(content, response.headers.get_content_type(), response.url)

        return self._again(url, read_once)

    def fetch(self, url: str, destination: Path) -> None:
        """An address as a file, unless it is there; a fetch that broke off goes on where it ended. Raises as `read`."""
        if destination.exists():
            return
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            self._again(url, lambda: self._fetch_once(url, destination))
        except OSError as error:
            raise disk_error(error) from error

    def _fetch_once(self, url: str, destination: Path) -> None:
        part = destination.with_name(f"{destination.name}.part")
        mark = destination.with_name(f"{destination.name}.mark")
        headers = {}
        if part.exists() and mark.exists():
            headers = {"Range": f"bytes={part.stat().st_size}-", "If-Range": mark.read_text(encoding="latin-1")}
        try:
            with self._open(url, headers) as response:
                goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
                have_bytes = part.stat().st_size if goes_on else 0
                if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {have_bytes}-"):
                    raise _AgainError("answered with another range than was asked for")
                _keep_mark(mark, response.headers)
                with part.open("ab" if goes_on else "wb") as file:
                    for chunk in self._chunks(response, url, self._limits.max_file_bytes - have_bytes):
                        file.write(chunk)
        except _RangeError:
            part.unlink(missing_ok=True)  # it is not a beginning of what is there now
            raise
        part.replace(destination)
        mark.unlink(missing_ok=True)

    def _again(self, url: str, action: Callable[[], T]) -> T:
        """Tries some times, with growing pauses, within the deadline."""
        last = ""
        for attempt in range(_TRIES):
            try:
                return action()
            except _AgainError as error:
                last = str(error)
            pause_s = min(_FIRST_PAUSE_S * 2**attempt, self._remaining_s(url))
            if attempt + 1 < _TRIES:
                time.sleep(pause_s)
        raise Unavailable(
            f"{shown(url)} {last}, {_TRIES} times.",
            fix="Try again later: what was fetched is kept.",
            retry_after_s=60.0,
        )

    @contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[Any]:
        request = urllib.request.Request(_quoted(url), headers=headers)  # noqa: S310 - _quoted checks the scheme
        timeout_s = min(self._limits.request_timeout_s, self._remaining_s(url))
        try:
            with _opener().open(request, timeout=timeout_s) as response:
                yield response
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(url, error.code) from error
        except urllib.error.URLError as error:
            raise _AgainError(f"cannot be reached ({_reason(error)})") from error
        except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
            raise _AgainError(f"broke off ({type(error).__name__})") from error

    def _chunks(self, response: Any, url: str, max_bytes: int) -> Iterator[bytes]:
        """The body as it comes. A body that is shorter than was said is a fault, and a longer one than allowed too."""
        said = response.headers.get("Content-Length")
        got_bytes = 0
        while chunk := response.read1(_CHUNK_BYTES):
            got_bytes += len(chunk)
            if got_bytes > max_bytes:
                raise ResourceExhausted(f"{shown(url)} is larger than allowed.", fix="Raise the limits.")
            self._count(url, len(chunk))
            self._remaining_s(url)
            yield chunk
        if said is not None and said.isdigit() and got_bytes < int(said):
            raise _AgainError("broke off before its end")

    def _count(self, url: str, size_bytes: int) -> None:
        with self._lock:
            self._total_bytes += size_bytes
            if self._total_bytes > self._limits.max_total_bytes:
                raise ResourceExhausted(
                    f"More than {self._limits.max_total_bytes} bytes in all, at {shown(url)}.",
                    fix="Raise max_total_bytes: what was fetched is kept.",
                )

    def _remaining_s(self, url: str) -> float:
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                f"The time ran out at {shown(url)}.", fix="Read the listing again: what was fetched is kept."
            )
        return remaining_s


class _AgainError(Exception):
    """Something that may work the next time."""


class _RangeError(_AgainError):
    """The server has less than we already do."""


def shown(url: str) -> str:
    """An address without what may be secret in it: no user, no query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{parts.hostname or ''}{port}", parts.path, "", ""))


def _refused(url: str, status: int) -> Exception:
    if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _RangeError("has changed")
    if status in _AGAIN:
        return _AgainError(f"answers {status}")
    return _FATAL.get(status, FailedPrecondition)(f"{shown(url)} answers {status}.", fix="Check the address.")


def _reason(error: urllib.error.URLError) -> str:
    reason = error.reason
    return reason.strerror or type(reason).__name__ if isinstance(reason, OSError) else str(reason)


def _keep_mark(mark: Path, headers: Mapping[str, str]) -> None:
    """What tells whether a file is still the same: without it nothing can be taken up again."""
    found = headers.get("ETag") or headers.get("Last-Modified")
    if found and not found.startswith("W/"):
        mark.write_text(found, encoding="latin-1")
    else:
        mark.unlink(missing_ok=True)


def _quoted(url: str) -> str:
    """The address as it is sent, Chinese paths included. Raises InvalidInput for what is not a web address."""
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port else ""
    except (ValueError, UnicodeError):
        wrong = True
    if wrong:
        raise InvalidInput.of_field(
            "url", "is not an http:// or https:// address without user and password", fix="Check the address."
        )
    host = f"[{host}]" if ":" in host else host
    path, query = quote(parts.path, safe="/%:@!$&'()*+,;=~"), quote(parts.query, safe="/%:@!$&'()*+,;=?~")
    return urlunsplit((parts.scheme, f"{host}{port}", path, query, ""))


def _opener() -> urllib.request.OpenerDirector:
    """Of the usual handlers only those for the web: a redirection must not lead to a file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
