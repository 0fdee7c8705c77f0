"""Shows the pages of a stack to a Prometheus: those behind sockets, and this machine's, which is no page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import yaml

from lepton_ai.errors import LeptonError
from services.health.metrics.scraping.fetch import fetch_page
from services.health.metrics.scraping.host import host_page
from services.health.metrics.scraping.targets import HOST, Target
from services.health.promql.rules.file import OURS


async def page_of(target: Target) -> bytes:
    """Its page now. Raises LeptonError where it has none."""
    if target.service == HOST:
        return await asyncio.to_thread(host_page)
    return await fetch_page(target.address, timeout_s=5, max_bytes=8 << 20)


@asynccontextmanager
async def relaying(targets: Sequence[Target]) -> AsyncIterator[str]:
    """The configuration of a Prometheus that measures the targets every second by way of a server here."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        try:
            page, status = await page_of(targets[int(path[1:])]), b"200 OK"
        except LeptonError as error:
            page, status = error.message.encode(), b"503 Unavailable"
        kind = b"application/openmetrics-text; version=1.0.0" if page.endswith(b"# EOF\n") else b"text/plain"
        writer.write(b"HTTP/1.0 " + status + b"\r\nContent-Type: " + kind + b"; charset=utf-8\r\n\r\n" + page)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield _configuration(targets, server.sockets[0].getsockname()[1])


def _configuration(targets: Sequence[Target], port: int) -> str:
    jobs = [
        {
            "job_name": f"target-{number}",
            "metrics_path": f"/{number}",
            "static_configs": [
                {
                    "targets": [f"127.0.0.1:{port}"],
                    "labels": {"service": target.service, "instance": target.instance},
                }
            ],
        }
        for number, target in enumerate(targets)
    ]
    timing = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    return yaml.safe_dump({"global": timing, "rule_files": [str(OURS)], "scrape_configs": jobs})
