"""One attempt to deliver: a signed request, and what is to be made of the answer."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass

import httpx

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.calling.webhook_signature import signature
from services.registry.webhooks.addresses import Reach

_TIMEOUT_S = 10.0
_MAX_RETRY_AFTER_S = 3600.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that say that the same request may work later."""


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt."""

    status: int | None
    error: str = ""
    """Empty when it was delivered; never anything that the receiver has sent."""
    may_pass: bool = False
    """Whether another attempt may work."""
    retry_after_s: float | None = None

    @property
    def is_delivered(self) -> bool:
        return not self.error


class WebhookClient:
    """Sends requests. It follows no redirects, uses no proxy and reads no answer."""

    def __init__(self, reach: Reach, *, timeout_s: float = _TIMEOUT_S, tls: ssl.SSLContext | None = None) -> None:
        """`tls` says which authorities are trusted, in place of those that browsers trust."""
        self.reach = reach
        self._timeout_s = timeout_s
        self._tls = tls
        self._client: httpx.AsyncClient | None = None

    async def send(self, url: str, secret: str, delivery_id: str, body: str) -> Outcome:
        """Make one attempt. Raises nothing: the outcome says what happened."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(url, secret, delivery_id, body)
        except LeptonError as error:
            return Outcome(None, error.message, may_pass=error.reason == "WEBHOOK_HOST")
        except TimeoutError:
            return Outcome(None, f"No answer within {self._timeout_s:g} s.", may_pass=True)
        except httpx.HTTPError as error:
            return Outcome(None, f"The request failed: {type(error).__name__}.", may_pass=True)

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    def _open(self) -> httpx.AsyncClient:
        """The client, made for the first request: it takes its time, as it reads which authorities are trusted."""
        if self._client is None:
            # Each request has its own connection: of two hosts at one address, TLS has verified the first one only.
            limits = httpx.Limits(max_keepalive_connections=0)
            self._client = httpx.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                timeout=self._timeout_s,
                limits=limits,
                verify=self._tls or True,
            )
        return self._client

    async def _send(self, url: str, secret: str, delivery_id: str, body: str) -> Outcome:
        parts = self.reach.check_url(url)
        address = await self.reach.resolve(parts)
        timestamp = str(int(time.time()))
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": "lepton-registry",
            "X-MLflow-Delivery-Id": delivery_id,
            "X-MLflow-Timestamp": timestamp,
            "X-MLflow-Signature": signature(secret, delivery_id, timestamp, body),
        }
        # To the address that was judged, while TLS still asks for the name's certificate.
        target = httpx.URL(url).copy_with(host=address)
        client = self._open()
        request = client.build_request(
            "POST", target, content=body.encode(), headers=headers, extensions={"sni_hostname": parts.hostname}
        )
        response = await client.send(request, stream=True)
        try:
            return _outcome(response)
        finally:
            await response.aclose()


def _outcome(response: httpx.Response) -> Outcome:
    if response.is_success:
        return Outcome(response.status_code)
    error = f"The receiver answered {response.status_code}."
    if response.is_redirect:
        error = "The receiver answered with a redirect, which is not followed."
    status = response.status_code
    return Outcome(status, error, status in _PASSING, _retry_after_s(response.headers.get("retry-after")))


def _retry_after_s(value: str | None) -> float | None:
    """Seconds only: a date would need clocks that agree."""
    if value is None or not value.strip().isdecimal() or len(value) > 9:
        return None
    return min(float(value), _MAX_RETRY_AFTER_S)
