"""Requests to receivers that speak HTTP: webhooks, chat robots without a library that tells refusals, Alertmanagers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

import httpx

from lepton_ai.mesh.calling.webhook_signature import signature
from services.health.alerts.memory.records import Delivery
from services.health.alerts.notify.outcome import Outcome
from services.health.alerts.receivers import Receiver

_MAX_ANSWER_BYTES = 64 << 10
_MAX_RETRY_AFTER_S = 3600.0
_WECOM_TEXT_BYTES, _DINGTALK_TEXT_BYTES = 2048, 18_000
_KEY = "Idempotency-Key"


class HttpSender:
    """Follows no redirects and uses no proxy. All methods raise nothing but FailedPrecondition for a missing url."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    def _open(self) -> httpx.AsyncClient:
        """The client, made for the first request: it takes its time, as it reads which authorities are trusted."""
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._timeout_s)
        return self._client

    async def send_webhook(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        """Alertmanager's webhook, version 4, with our texts beside it; signed where the receiver has a secret.

        <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>, <https://www.standardwebhooks.com>
        """
        document = {**delivery.document, "version": "4", "receiver": receiver.name, "reason": delivery.reason}
        body = json.dumps(document, ensure_ascii=False)
        headers = {_KEY: delivery.id}
        if receiver.secret is not None:
            timestamp = str(int(time.time()))
            signed = signature(receiver.secret.get_secret_value(), delivery.id, timestamp, body)
            headers |= {"webhook-id": delivery.id, "webhook-timestamp": timestamp, "webhook-signature": signed}
        return _outcome(*await self._post(receiver.address, body, headers))

    async def send_dingtalk(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        """A text to a DingTalk robot. apprise's takes a refusal, which DingTalk answers with 200, for success."""
        url = receiver.address
        if receiver.secret is not None:
            url += _dingtalk_signature(receiver.secret.get_secret_value())
        return await self._send_text(url, delivery, _DINGTALK_TEXT_BYTES)

    async def send_wecom(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        """A text to a WeCom robot. apprise's takes a refusal, which WeCom answers with 200, for success."""
        return await self._send_text(receiver.address, delivery, _WECOM_TEXT_BYTES)

    async def send_alerts(self, receiver: Receiver, alerts: Sequence[Mapping[str, Any]]) -> Outcome:
        """Alerts to an Alertmanager's API, version 2."""
        url = f"{receiver.address.rstrip('/')}/api/v2/alerts"
        return _outcome(*await self._post(url, json.dumps(alerts, ensure_ascii=False), {}))

    async def beat(self, url: str, document: Mapping[str, Any]) -> Outcome:
        """A sign of life to whoever notices when none comes."""
        return _outcome(*await self._post(url, json.dumps(document), {}))

    async def _send_text(self, url: str, delivery: Delivery, most_bytes: int) -> Outcome:
        text = _cut(f"{delivery.document['title']}\n{delivery.document['text']}", most_bytes)
        body = json.dumps({"msgtype": "text", "text": {"content": text}}, ensure_ascii=False)
        response, error = await self._post(url, body, {_KEY: delivery.id})
        outcome = _outcome(response, error)
        if response is None or not outcome.is_delivered:
            return outcome
        try:
            code = json.loads(response.content[:_MAX_ANSWER_BYTES])["errcode"]
        except (ValueError, LookupError, TypeError):
            return Outcome("The robot's answer cannot be read.", response.status_code)
        if code != 0:
            return Outcome(f"The robot refused it with errcode {str(code)[:20]}.", response.status_code)
        return outcome

    async def _post(self, url: str, body: str, headers: Mapping[str, str]) -> tuple[httpx.Response | None, str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._open().post(
                    url,
                    content=body.encode("utf-8", "backslashreplace"),
                    headers={"Content-Type": "application/json", "User-Agent": "lepton-health", **headers},
                )
        except TimeoutError:
            return None, f"No answer within {self._timeout_s:g} s."
        except httpx.InvalidURL:
            return None, "Its url cannot be read."
        except httpx.HTTPError as error:
            return None, f"The request failed: {type(error).__name__}."
        return response, ""


def _outcome(response: httpx.Response | None, error: str) -> Outcome:
    if response is None:
        return Outcome(error)
    if response.is_success:
        return Outcome(status=response.status_code)
    wish = response.headers.get("retry-after", "").strip()
    wish_s = min(float(wish), _MAX_RETRY_AFTER_S) if wish.isdecimal() and len(wish) < 9 else 0.0
    return Outcome(f"The receiver answered {response.status_code}.", response.status_code, wish_s)


def _dingtalk_signature(secret: str) -> str:
    """<https://open.dingtalk.com/document/robots/customize-robot-security-settings>"""
    timestamp = str(round(time.time() * 1000))
    digest = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    return f"&timestamp={timestamp}&sign={quote_plus(base64.b64encode(digest))}"


def _cut(text: str, most_bytes: int) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most_bytes:
        return text
    return encoded[: most_bytes - 3].decode("utf-8", "ignore") + "…"
