"""On whose behalf a call is made."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc

from lepton_ai.mesh.serving.metadata import text_of

TENANT = "lepton-tenant"
"""Metadata key. A gateway that knows its callers sets it, and takes it from those who set it themselves."""
MAX_LENGTH = 128
"""Characters of a tenant's name; a longer one is known by its digest."""


def tenant_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The tenant that a call's metadata name; empty without one."""
    value = text_of(context, TENANT)
    # not cut: two tenants that begin alike would find each other's answers in a cache that keeps them apart
    return value if len(value) <= MAX_LENGTH else hashlib.sha256(value.encode()).hexdigest()
