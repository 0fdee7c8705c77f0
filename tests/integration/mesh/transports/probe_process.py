"""A service whose handlers do what a message says, as a process of its own, told by LEPTON_ variables.

Prints "listening HOST:PORT". Commands of the unary method: `sleep SECONDS`, `fail`, `abort`, `raise`, `metadata`, `size
BYTES`, `pid`, `state`; anything else comes back. The stream of answers takes `COUNT SIZE` or `watch`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from lepton_ai.errors import FieldViolation, NotFound
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.launch import launch
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.settings import PublicSettings
from lepton_ai.mesh.tracing import Tracing
from tests.integration.mesh.echo import SERVICE, Echo, add_echo


class Probe(Echo):
    """Knows how many of its calls sleep, and how many of them were cancelled."""

    def __init__(self) -> None:
        super().__init__(self._act)
        self.asleep = 0
        self.cancelled = 0
        self.written = 0

    async def unary_unary(self, request: StringValue, context: Any) -> StringValue:
        if request.value == "metadata":
            await context.send_initial_metadata((("first", "words"), ("first-bin", b"\0\xff")))
            context.set_trailing_metadata((("last", "words"), ("last-bin", b"\1\xfe")))
            sent = {
                key: list(value) if isinstance(value, bytes) else value for key, value in context.invocation_metadata()
            }
            sent["remaining_s"] = context.time_remaining()
            sent["peer"] = context.peer()
            return StringValue(value=json.dumps(sent))
        if request.value == "abort":
            await context.abort(grpc.StatusCode.ABORTED, "ümläute & 100 %\n")
        return StringValue(value=await self._act(request.value))

    async def unary_stream(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        count, size = map(int, request.value.split())
        for _ in range(count):
            yield StringValue(value="x" * size)
            self.written += 1

    async def _act(self, text: str) -> str:
        command, _, argument = text.partition(" ")
        if command == "sleep":
            await self._sleep(float(argument))
        elif command == "fail":
            raise NotFound("No cat.", reason="NO_CAT", fix="Bring one.", fields=(FieldViolation("cat", "is away"),))
        elif command == "raise":
            raise ZeroDivisionError("secret")
        elif command == "size":
            return "x" * int(argument)
        elif command == "pid":
            return str(os.getpid())
        elif command == "state":
            return json.dumps({"asleep": self.asleep, "cancelled": self.cancelled, "written": self.written})
        return text

    async def _sleep(self, seconds: float) -> None:
        self.asleep += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.asleep -= 1


async def main() -> None:
    settings = PublicSettings.load()
    configure_logging("probe", level=settings.log_level, log_format="json")
    server = Server("probe", settings, state=None, tracing=Tracing.create("probe", settings), metrics=Metrics("probe"))
    server.add(add_echo, Probe(), SERVICE)

    async def prepare() -> None:
        sys.stdout.write(f"listening {server.address}\n")
        sys.stdout.flush()

    await run(server, prepare=prepare)


if __name__ == "__main__":
    launch("tests.integration.mesh.transports.probe_process:main")
