"""What a replica counts of the answers it gives, in forms that can be added over replicas and subtracted over time."""

from __future__ import annotations

from lepton_ai.counts.arm import ArmCounts
from lepton_ai.counts.bins import ScoreBins
from lepton_ai.counts.labels import LabelCounts
from lepton_ai.counts.sketch import Sketch

__all__ = ["ArmCounts", "LabelCounts", "ScoreBins", "Sketch"]
