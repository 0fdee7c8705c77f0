"""Reads files in chunks for an upload, off the event loop, with progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from lepton_ai.v1 import registry_pb2

OnProgress = Callable[[int, int], None]
"""Called with (bytes sent, bytes to send in all)."""

_CHUNK_BYTES = 1 << 20


async def read_chunks(
    paths: Mapping[str, Path], on_progress: OnProgress | None
) -> AsyncIterator[registry_pb2.FileChunk]:
    """The content of every file (SHA-256 → path), one file after the other. Empty files give one empty chunk."""
    total = sum(path.stat().st_size for path in paths.values())
    sent = 0
    for sha256, path in paths.items():
        with await asyncio.to_thread(path.open, "rb") as file:
            data = await asyncio.to_thread(file.read, _CHUNK_BYTES)
            yield registry_pb2.FileChunk(sha256=sha256, data=data)
            while data:
                sent += len(data)
                if on_progress is not None:
                    on_progress(sent, total)
                if data := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                    yield registry_pb2.FileChunk(sha256=sha256, data=data)
