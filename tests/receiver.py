"""A receiver of webhooks: a real HTTP server on this machine that writes down what arrives and answers as told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from lepton_ai.testing import eventually


@dataclass(frozen=True)
class Received:
    """A request that arrived."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def event(self) -> str:
        return f"{self.document['entity']}.{self.document['action']}"

    def is_signed_with(self, secret: str) -> bool:
        """As MLflow's documentation has receivers verify it."""
        signed = (
            f"{self.headers['x-mlflow-delivery-id']}.{self.headers['x-mlflow-timestamp']}.{self.body.decode('utf-8')}"
        )
        version, _, given = self.headers["x-mlflow-signature"].partition(",")
        expected = hmac.new(secret.encode("utf-8"), signed.encode("utf-8"), hashlib.sha256).digest()
        return version == "v1" and hmac.compare_digest(base64.b64encode(expected).decode("utf-8"), given)


@dataclass
class Receiver:
    """`answers` are given to the next requests, then always the last: a status, 0 for none, -1 for one that hangs."""

    port: int = 0
    answers: list[int] = field(default_factory=lambda: [200])
    headers: str = ""
    body: bytes = b""
    """Of each answer."""
    received: list[Received] = field(default_factory=list)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?to=我".replace("我", "%E6%88%91")

    def events(self) -> list[str]:
        return [each.event for each in self.received]

    async def until(self, count: int, *, timeout_s: float = 10.0) -> list[Received]:
        await eventually(
            lambda: len(self.received) >= count, description=f"{count} requests have arrived", timeout_s=timeout_s
        )
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever sent it was killed
        finally:
            writer.close()
            self.serving.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(Received(first.split()[1], headers, body))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status < 0:
            await reader.read()  # until the sender has enough
        elif status:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(self.body)}\r\n{self.headers}\r\n".encode())
            writer.write(self.body)
            await writer.drain()


@asynccontextmanager
async def receiving(port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port, or on the one of an earlier one."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
        for task in receiver.serving:
            task.cancel()
        await asyncio.gather(*receiver.serving, return_exceptions=True)
