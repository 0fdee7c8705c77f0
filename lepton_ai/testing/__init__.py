"""What tests of Lepton and of programs that use it need: servers on free ports, captured spans, fakes."""

from lepton_ai.testing.eventually import eventually
from lepton_ai.testing.memory_store import MemoryStore
from lepton_ai.testing.running import Running, quick_settings, running
from lepton_ai.testing.spans import CapturedSpans, captured_spans

__all__ = ["CapturedSpans", "MemoryStore", "Running", "captured_spans", "eventually", "quick_settings", "running"]
