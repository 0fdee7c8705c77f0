"""Examples as a client gets them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lepton_ai.feedback.examples import Example, Examples

WHEN = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)


def example(number: int, inputs: dict[str, Any], label: str | None, **told: Any) -> Example:
    """One with these inputs."""
    known: dict[str, Any] = {
        "prediction_id": f"{number:032x}-0",
        "version": 1,
        "predicted_at": WHEN,
        "predicted": "cat",
        "score": 0.4,
        "said_at": None if label is None else WHEN,
        "source_kind": "" if label is None else "host",
        "source": "" if label is None else "00ff00ff00ff00ff",
        "other": "",
    }
    return Example(label=label, inputs=inputs, **(known | told))


def of_texts(*labels: str | None) -> Examples:
    """Texts with these labels."""
    found = [example(number, {"review": f"第{number}条"}, label) for number, label in enumerate(labels)]
    return Examples("reviews", {"review": "text"}, found)
