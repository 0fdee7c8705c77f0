"""Counts of inputs as messages of the health service's contract."""

from __future__ import annotations

import math

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.counts import MAX_FEATURES, MAX_NAME_CHARS, FeatureCounts, InputCounts
from lepton_ai.v1 import drift_pb2 as pb


def write_counts(counts: InputCounts, message: pb.CountedInputs) -> None:
    """Fill in rows and features."""
    message.rows = counts.rows
    for name, each in counts.features.items():
        feature = message.features.add(name=name, missing=each.missing, is_category=each.kind == "category")
        feature.numbers.extend(each.numbers)
        feature.categories.extend(each.categories)
        feature.counts.extend((each.numbers or each.categories).values())


def read_counts(message: pb.CountedInputs) -> InputCounts:
    """The counts that `write_counts` wrote. Raises InvalidInput for what does not fit together."""
    if len(message.features) > MAX_FEATURES:
        raise InvalidInput.of_field("features", f"are {len(message.features)}, at most {MAX_FEATURES} are counted")
    return InputCounts({feature.name: _read_feature(feature) for feature in message.features}, message.rows)


def _read_feature(message: pb.CountedFeature) -> FeatureCounts:
    field = f"features[{message.name[:64]}]"
    values = message.categories if message.is_category else message.numbers
    if len(values) != len(message.counts) or len(message.categories) + len(message.numbers) != len(values):
        raise InvalidInput.of_field(field, "has other values than counts")
    if not 0 < len(message.name) <= MAX_NAME_CHARS or not all(map(math.isfinite, message.numbers)):
        raise InvalidInput.of_field(field, "has no usable name or values")
    counts = FeatureCounts("category" if message.is_category else "number", missing=message.missing)
    counts.categories.update(dict(zip(message.categories, message.counts, strict=False)))
    counts.numbers.update(dict(zip(message.numbers, message.counts, strict=False)))
    return counts
