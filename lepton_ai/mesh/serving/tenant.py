"""On whose behalf a call is made."""

from __future__ import annotations

from typing import Any

import grpc

TENANT = "lepton-tenant"
"""Metadata key. A gateway that knows its callers sets it, and takes it from those who set it themselves."""
MAX_LENGTH = 128


def tenant_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The tenant that a call's metadata name, shortened to 128 characters; empty without one."""
    for key, value in context.invocation_metadata() or ():
        if key == TENANT and isinstance(value, str):
            return value[:MAX_LENGTH]
    return ""
