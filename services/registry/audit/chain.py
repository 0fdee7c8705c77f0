"""The chain: each entry holds the hash of the one before it with its own content, so that a change breaks what follows.

The form that is hashed stands for good: to change it takes a migration that chains all entries anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

GENESIS = "0" * 64
"""What the first entry takes for the hash of the one before it."""


@dataclass(frozen=True)
class ChainedEntry:
    """An entry of the audit trail as the database has it."""

    id: int
    at: datetime
    actor: str
    action: str
    model: str
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None
    hash: str | None = None
    """Over the hash before it and all the above; None where somebody wrote an entry past the registry."""


def hash_of(entry: ChainedEntry, previous: str) -> str:
    """SHA-256 (hex) over the hash of the entry before it and the entry's content as canonical JSON."""
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    content = [previous, entry.id, at, entry.actor, entry.action, entry.model, entry.before, entry.after]
    canonical = json.dumps(content, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class ChainCheck:
    """Follows the chain from its beginning, entry by entry."""

    def __init__(self, anchor: str = "") -> None:
        """`anchor`: the hash of an entry, noted earlier, that must be there."""
        self.entries = 0
        self.newest = GENESIS
        self.broken: int | None = None
        """The first entry that does not follow from those before it."""
        self._anchor = anchor
        self.is_anchored = anchor in ("", GENESIS)

    def follow(self, entry: ChainedEntry) -> None:
        """Look at the next entry; nothing that comes after a broken one says anything."""
        if self.broken is not None:
            return
        if entry.hash is None or hash_of(entry, self.newest) != entry.hash:
            self.broken = entry.id
            return
        self.entries += 1
        self.newest = entry.hash
        self.is_anchored = self.is_anchored or entry.hash == self._anchor
