"""Checks of what a call is given, before it is sent."""

from __future__ import annotations

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.tenant import MAX_LENGTH, TENANT


def checked_version(version: int) -> int:
    """A version's number. Raises InvalidInput."""
    if not 1 <= version < 1 << 63:
        raise InvalidInput.of_field("version", f"is {version}", fix="Versions begin at 1.")
    return version


def checked_top_k(top_k: int) -> int:
    """How many labels to ask for. Raises InvalidInput."""
    if not 0 <= top_k < 1 << 32:
        raise InvalidInput.of_field("top_k", f"is {top_k}", fix="Ask for 1 or more labels, or 0 for the usual number.")
    return top_k


def tenant_metadata(tenant: str) -> tuple[tuple[str, str], ...]:
    """Metadata of the calls that are made on behalf of a tenant; none when it is empty. Raises InvalidInput."""
    is_text = isinstance(tenant, str) and tenant.isascii() and tenant.isprintable()
    if not is_text or len(tenant) > MAX_LENGTH or tenant != tenant.strip():  # whose spaces are lost on the way
        fix = f"Use up to {MAX_LENGTH} printable ASCII characters, without spaces at either end."
        raise InvalidInput.of_field("tenant", "cannot be sent as metadata", fix=fix)
    return ((TENANT, tenant),) if tenant else ()
