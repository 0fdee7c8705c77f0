"""What a process proves itself with at etcd."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EtcdLogin:
    """A user of etcd."""

    user: str
    password: str = field(repr=False)
    root_password: str = field(default="", repr=False)
    """Given to the one process that closes an etcd which lets in everybody, as a new or a wiped one does."""
