"""The credentials that a process logs in to etcd with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EtcdLogin:
    """A user of etcd and the password."""

    user: str
    password: str = field(repr=False)
    root_password: str = field(default="", repr=False)
    """Set only in the one process that makes etcd require logins; a new or wiped etcd lets in everybody."""
