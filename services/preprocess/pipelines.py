"""Loaded pipelines by digest, shared by all streams: least recently used ones go first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from lepton_ai.errors import ResourceExhausted
from lepton_ai.pipeline import Pipeline
from lepton_ai.v1 import preprocess_pb2


@dataclass(frozen=True)
class _Entry:
    message: preprocess_pb2.Pipeline
    pipeline: Pipeline
    size_bytes: int


class PipelineCache:
    """A bounded cache. Belongs to one event loop; loading happens in a thread, as large vocabularies take a while."""

    def __init__(self, *, max_pipelines: int, max_bytes: int) -> None:
        self._max_pipelines = max_pipelines
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def load(self, message: preprocess_pb2.Pipeline) -> Pipeline:
        """The pipeline that was sent, loaded or from the cache.

        Raises InvalidInput for one that cannot be loaded, ResourceExhausted for one that is too large.
        """
        entry = self._entries.get(message.digest)
        # The whole message is compared: a digest that belongs to another pipeline must not pass because of the cache.
        if entry is not None and entry.message == message:
            self._entries.move_to_end(message.digest)
            return entry.pipeline
        size_bytes = pipeline_bytes(message)
        if size_bytes > self._max_bytes:
            raise ResourceExhausted(
                f"The pipeline with its files has {size_bytes} bytes, at most {self._max_bytes} are allowed.",
                reason="PIPELINE_TOO_LARGE",
                fix="Use smaller files.",
            )
        pipeline = await asyncio.to_thread(Pipeline.from_proto, message)
        self._keep(_Entry(message, pipeline, size_bytes))
        return pipeline

    def _keep(self, entry: _Entry) -> None:
        replaced = self._entries.pop(entry.pipeline.digest, None)
        if replaced is not None:
            self._bytes -= replaced.size_bytes
        self._entries[entry.pipeline.digest] = entry
        self._bytes += entry.size_bytes
        while len(self._entries) > self._max_pipelines or self._bytes > self._max_bytes:
            _, evicted = self._entries.popitem(last=False)
            self._bytes -= evicted.size_bytes


def pipeline_bytes(message: preprocess_pb2.Pipeline) -> int:
    """The bytes of a pipeline: its document and its files."""
    return len(message.document_json) + sum(len(content) for content in message.files.values())
