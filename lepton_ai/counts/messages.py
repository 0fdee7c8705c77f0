"""Counts as messages of the inference service's contract."""

from __future__ import annotations

from collections import Counter

from lepton_ai.counts.arm import ArmCounts
from lepton_ai.counts.bins import ScoreBins
from lepton_ai.counts.labels import LabelCounts
from lepton_ai.counts.sketch import Sketch
from lepton_ai.v1 import inference_pb2


def write_counts(counts: ArmCounts) -> inference_pb2.ArmCounts:
    """Without what only the registry knows: feedback."""
    return inference_pb2.ArmCounts(
        answers=counts.answers,
        errors=counts.errors,
        latency_s=counts.latency_s.buckets,
        labels=counts.labels.by_label,
        other_labels=counts.labels.rest,
        scores=counts.scores.bins,
        distances=counts.distances.buckets,
        compared=counts.compared,
        disagreeing=counts.disagreeing,
    )


def read_counts(message: inference_pb2.ArmCounts) -> ArmCounts:
    """The counts that `write_counts` wrote."""
    return ArmCounts(
        message.answers,
        Counter(message.errors),
        Sketch(dict(message.latency_s)),
        LabelCounts(message.labels, message.other_labels),
        ScoreBins(message.scores),
        Sketch(dict(message.distances)),
        message.compared,
        message.disagreeing,
    )
