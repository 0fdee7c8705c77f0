"""What became of an attempt to tell somebody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Of one attempt; `error` is empty when it arrived, and never holds what the receiver sent, nor its address."""

    error: str = ""
    status: int | None = None
    retry_after_s: float = 0.0
    """How long the receiver asks to be left alone."""

    @property
    def is_delivered(self) -> bool:
        return not self.error
