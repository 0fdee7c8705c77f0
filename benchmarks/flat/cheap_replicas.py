"""`python -m benchmarks.flat.cheap_replicas N`: N inference services in one process, which answer at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import grpc

from lepton_ai.testing.running import running
from lepton_ai.v1 import inference_pb2

_NAME = "lepton.v1.InferenceService"
_ANSWER = inference_pb2.PredictResponse().SerializeToString()


async def _predict(request: bytes, context: Any) -> bytes:
    return _ANSWER


def _add(_servicer: None, server: Any) -> None:
    handlers: dict[str, Any] = {"Predict": grpc.unary_unary_rpc_method_handler(_predict)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_NAME, handlers),))


@contextmanager
def cheap_replicas(count: int) -> Iterator[list[str]]:
    """The addresses of replicas that run in another process."""
    command = [sys.executable, "-m", "benchmarks.flat.cheap_replicas", str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield (process.stdout.readline() if process.stdout else "").split()
    finally:
        process.communicate("")  # the end of its input ends it


async def main(count: int) -> None:
    """Serve until the input ends."""
    async with AsyncExitStack() as stack:
        served = [await stack.enter_async_context(running((_add, None, _NAME), name=_NAME)) for _ in range(count)]
        print(*(each.address for each in served), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
