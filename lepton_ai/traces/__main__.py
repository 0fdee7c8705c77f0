"""`python -m lepton_ai.traces`: run a trace store until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvloop
from pydantic import ValidationError

from lepton_ai.errors import InternalError, LeptonError
from lepton_ai.traces.process import TraceStoreProcess
from lepton_ai.traces.settings import TraceStoreSettings

_logger = logging.getLogger("lepton_ai.traces")


async def _serve(settings: TraceStoreSettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    process = TraceStoreProcess(settings)
    addresses = await process.start()
    _logger.info("ready: http=%s grpc=%s otlp_http=%s", addresses.http, addresses.grpc, addresses.otlp_http)
    told, ended = asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(process.until_ended())
    await asyncio.wait((told, ended), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    _logger.info("stopping")
    await process.stop()
    if not stopped.is_set():  # whoever supervises this process starts it again
        await ended
        raise InternalError("The HTTP server ended by itself.")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = TraceStoreSettings()
    except ValidationError as error:
        for problem in error.errors():
            _logger.error("LEPTON_TRACES_%s: %s", "_".join(map(str, problem["loc"])).upper(), problem["msg"])
        return 2
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except LeptonError as error:
        _logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
