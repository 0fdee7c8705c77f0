"""What tests of Lepton and of programs that use it need: servers on free ports, captured spans, fakes."""

from lepton_ai.testing.eventually import eventually
from lepton_ai.testing.memory_store import MemoryStore
from lepton_ai.testing.spans import CapturedSpans, captured_spans

__all__ = ["CapturedSpans", "MemoryStore", "captured_spans", "eventually"]
