"""Attacks and clients that do not read: the memory they cost is bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib

import h2.errors
import pytest

from tests.integration.mesh.echo import SERVICE
from tests.integration.mesh.transports.conftest import ProbeClient, ProbeProcess, undisturbed
from tests.integration.mesh.transports.raw_http2 import CONTINUATION, END_HEADERS, HEADERS, PING, RawClient

_MB = 1 << 20


async def test_a_client_that_does_not_read_holds_up_only_its_own_stream(
    probe: ProbeProcess, client: ProbeClient
) -> None:
    before = (await client.state())["written"]
    rss_bytes = probe.rss_bytes()
    async with undisturbed(client):
        readers = [await RawClient.connect(probe.port) for _ in range(3)]
        for raw in readers:
            raw.send(raw.begin("UnaryStream"), f"1000 {100_000}")  # 100 MB
            await raw.flush()
        await asyncio.sleep(1)
        assert probe.rss_bytes() - rss_bytes < 30 * _MB
        assert (await client.state())["written"] - before < 300
        for raw in readers:
            await raw.close()


@pytest.mark.parametrize("code", [h2.errors.ErrorCodes.CANCEL, h2.errors.ErrorCodes.NO_ERROR])
async def test_calls_that_are_reset_at_once_cost_no_memory_and_delay_nobody(
    probe: ProbeProcess, client: ProbeClient, code: h2.errors.ErrorCodes
) -> None:
    await client.until(asleep=0)
    rss_bytes = probe.rss_bytes()
    async with undisturbed(client, within_s=2.0):
        raw = await RawClient.connect(probe.port)
        for _ in range(200):
            for _ in range(10):
                stream = raw.begin("UnaryUnary")
                raw.send(stream, "sleep 60")
                raw.h2.reset_stream(stream, code)
            try:
                await raw.flush()
            except ConnectionError:  # the server has had enough
                break
        raw.writer.transport.abort()
    await client.until(asleep=0)
    assert probe.rss_bytes() - rss_bytes < 30 * _MB


async def test_headers_that_never_end_cost_no_memory(probe: ProbeProcess, transport: str, client: ProbeClient) -> None:
    if transport == "grpc":
        pytest.skip("grpc.aio's server grows with them as long as they come")
    rss_bytes = probe.rss_bytes()
    async with undisturbed(client):
        raw = await RawClient.connect(probe.port)
        closing = asyncio.ensure_future(raw.read_to_the_end())
        await raw.frame(HEADERS, 0, 1, b"\x83")  # :method POST
        field = b"\x00\x01a\x7f\x81\x07" + b"x" * 262  # a literal, not indexed
        with contextlib.suppress(ConnectionError):
            for _ in range(4000):  # 54 MB
                await raw.frame(CONTINUATION, 0, 1, field * 50)
        await raw.close()
        await asyncio.wait_for(closing, 5)
    assert probe.rss_bytes() - rss_bytes < 20 * _MB


async def test_a_small_header_block_that_unfolds_into_a_large_one_costs_no_memory(
    probe: ProbeProcess, client: ProbeClient
) -> None:
    rss_bytes = probe.rss_bytes()
    async with undisturbed(client):
        raw = await RawClient.connect(probe.port)
        await asyncio.wait_for(raw.until(h2.events.RemoteSettingsChanged), 5)
        entry = b"\x40\x01a\x7f" + b"\xa1\x1e" + b"x" * 4000  # indexed: 4,000 bytes for one byte from now on
        path = f"/{SERVICE}/UnaryUnary".encode()
        start = b"\x83\x86\x04" + bytes((len(path),)) + path
        for stream in (1, 3, 5):
            await raw.frame(HEADERS, END_HEADERS, stream, start + (entry if stream == 1 else b"") + b"\xbe" * 10_000)
        await raw.frame(PING, 0, 0, b"12345678")
        await raw.read_for(1)
        await raw.close()
    assert probe.rss_bytes() - rss_bytes < 20 * _MB


async def test_what_is_no_http2_is_closed(probe: ProbeProcess, client: ProbeClient) -> None:
    async with undisturbed(client):
        reader, writer = await asyncio.open_connection("127.0.0.1", probe.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n" * 10)
        async with asyncio.timeout(10):
            while await reader.read(1 << 16):
                pass
        writer.close()
