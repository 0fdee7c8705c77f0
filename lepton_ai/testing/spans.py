"""Captures spans in memory, so that tests can say what a trace must look like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lepton_ai.mesh.tracing import Tracing
from lepton_ai.mesh.tracing.spans import RecordedSpan
from lepton_ai.testing.eventually import eventually


class CapturedSpans:
    """The spans that one Tracing has ended so far, with that Tracing."""

    def __init__(self, service: str, ratio: float) -> None:
        self._ended: list[RecordedSpan] = []
        self.tracing = Tracing(service, ratio=ratio, on_end=self._ended.append)

    @property
    def spans(self) -> tuple[RecordedSpan, ...]:
        """All ended spans, oldest first."""
        return tuple(self._ended)

    @property
    def names(self) -> list[str]:
        """Their names, in the order in which they ended."""
        return [span.name for span in self.spans]

    def named(self, name: str) -> list[RecordedSpan]:
        """The ended spans with this name."""
        return [span for span in self.spans if span.name == name]

    async def wait_for(self, name: str, *, count: int = 1, timeout_s: float = 5.0) -> list[RecordedSpan]:
        """The spans with this name as soon as there are `count`; a server's span may end after its answer arrived."""
        await eventually(
            lambda: len(self.named(name)) >= count,
            timeout_s=timeout_s,
            description=f"{count} × span {name!r} among {self.names}",
        )
        return self.named(name)

    def clear(self) -> None:
        """Forget what was captured."""
        self._ended.clear()


@contextmanager
def captured_spans(service: str = "test", *, ratio: float = 1.0) -> Iterator[CapturedSpans]:
    """A Tracing whose spans stay here: `with captured_spans() as captured: … captured.tracing … captured.spans`."""
    captured = CapturedSpans(service, ratio)
    try:
        yield captured
    finally:
        captured.tracing.shutdown()
