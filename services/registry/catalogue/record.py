"""States of versions, and of pushes that have not made one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class VersionState(Enum):
    """Where a version is on its way; see `ModelVersionState` in the contract."""

    UPLOADING = "uploading"
    CHECKING = "checking"
    READY = "ready"
    REJECTED = "rejected"
    ARCHIVED = "archived"
    DELETED = "deleted"


@dataclass(frozen=True)
class NewPush:
    """A push that begins."""

    model: str
    digest: str
    size_bytes: int
    actor: str


@dataclass(frozen=True)
class PushRecord:
    """A push that has not made a version."""

    id: int
    model: str
    digest: str
    state: VersionState
    reason: str
    fix: str
    size_bytes: int
    actor: str
    started_at: datetime
    changed_at: datetime
