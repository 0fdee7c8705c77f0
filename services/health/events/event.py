"""An event on the platform's time line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """Something that somebody or something changed, or that began or ended."""

    time_s: float
    """Seconds since 1970."""
    kind: str
    """`deploy`, `alias`, `rollout`, `settings`, `replica_joined`, `replica_left`, `restart`, `scale`, `alert`…"""
    title: str
    """One sentence for people: "resnet@production is version 5 now"."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What it is about, with the names that metrics and alerts use: `model`, `version`, `service`, `instance`…"""
    actor: str = ""
    """Who did it, where that is known."""
    details: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    """What is added again with the same key is the same event; empty: with the same time, kind, title and labels."""

    @property
    def identity(self) -> str:
        """The key, made of the rest where there is none."""
        if self.key:
            return self.key
        whole = json.dumps([self.time_s, self.kind, self.title, dict(self.labels)], sort_keys=True)
        return hashlib.sha256(whole.encode("utf-8", "backslashreplace")).hexdigest()[:32]
