"""Fetches a metrics page over HTTP: one request, a deadline, and never more than so many bytes in memory.

Written for this one thing because it happens every few seconds for every process: a client library takes four to ten
times the CPU. HTTP/1.0, so that the page comes whole and the connection ends with it.
"""

from __future__ import annotations

import asyncio

from lepton_ai.errors import DeadlineExceeded, InvalidInput, LeptonError, ResourceExhausted, Unavailable

_UNIX = "unix:"
_MAX_HEAD_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


async def fetch_page(address: str, *, timeout_s: float, max_bytes: int) -> bytes:
    """The page at http://HOST:PORT/metrics, or of a server at `unix:/PATH`.

    Raises DeadlineExceeded, Unavailable, ResourceExhausted (larger than `max_bytes`), InvalidInput (no such page).
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _fetch(address, max_bytes)
    except TimeoutError:
        raise DeadlineExceeded(f"The metrics page did not come within {timeout_s:g} s.", fix="See its log.") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Unavailable(f"Nothing answers there ({why}).", fix="Start it.") from error
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise InvalidInput("What answers there does not speak HTTP.", fix="Correct the address of the page.") from error


async def _fetch(address: str, max_bytes: int) -> bytes:
    if address.startswith(_UNIX):
        opening = asyncio.open_unix_connection(address.removeprefix(_UNIX), limit=_MAX_HEAD_BYTES)
    else:
        host, _, port = address.rpartition(":")
        opening = asyncio.open_connection(host.strip("[]"), int(port), limit=_MAX_HEAD_BYTES)
    reader, writer = await opening
    try:
        host = "localhost" if address.startswith(_UNIX) else address
        writer.write(f"GET /metrics HTTP/1.0\r\nHost: {host}\r\nAccept: {_ACCEPT}\r\n\r\n".encode())
        size = _check_head(await reader.readuntil(b"\r\n\r\n"), max_bytes)
        return await _read_body(reader, size, max_bytes)
    finally:
        writer.transport.abort()  # there is nothing left to be said, and whoever hangs must not be waited for


def _check_head(head: bytes, max_bytes: int) -> int | None:
    """The length that is announced, if any."""
    status, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError("not HTTP")
    if rest[:3] != "200":
        raise InvalidInput(f"There is no metrics page: HTTP status {rest[:3]}.", fix="Correct its address.")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") or headers.get("content-encoding", "identity") != "identity":
        raise InvalidInput("The page comes in an encoding that was not asked for.", fix="Use HTTP/1.0 as it says.")
    if "content-length" not in headers:
        return None
    size = int(headers["content-length"])
    if size > max_bytes:
        raise _too_large(max_bytes)
    return size


async def _read_body(reader: asyncio.StreamReader, size: int | None, max_bytes: int) -> bytes:
    parts, read = [], 0
    while part := await reader.read(_READ_BYTES):
        read += len(part)
        if read > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if size is not None and read >= size:
            break
    if size is not None and read != size:
        raise InvalidInput("The page was cut short.", fix="See the log of what answers there.")
    return b"".join(parts)


def _too_large(max_bytes: int) -> LeptonError:
    return ResourceExhausted(
        f"The metrics page is larger than {max_bytes:,} bytes.", reason="PAGE_TOO_LARGE", fix="Use fewer labels there."
    )
