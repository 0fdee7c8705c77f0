"""Tenants are told apart whatever their names are; a name that would not arrive as it is is refused by the client."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from lepton_ai.client.checks import tenant_metadata
from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.tenant import MAX_LENGTH, TENANT, tenant_of


def heard(*metadata: tuple[str, str]) -> str:
    return tenant_of(Mock(invocation_metadata=lambda: metadata))


def test_the_tenant_is_what_the_metadata_name() -> None:
    assert heard((TENANT, "a" * MAX_LENGTH)) == "a" * MAX_LENGTH
    assert heard(("other", "a")) == ""


def test_long_tenants_that_begin_alike_are_two_of_bounded_length() -> None:
    first, second = (heard((TENANT, "a" * 5000 + end)) for end in "12")
    assert first != second
    assert len(first) <= MAX_LENGTH


@pytest.mark.parametrize("tenant", ["租户", "a" * 129, "a\nb", " a", "a ", None, 5])
def test_a_client_refuses_what_would_not_arrive_as_it_is(tenant: object) -> None:
    with pytest.raises(InvalidInput, match="tenant"):
        tenant_metadata(tenant)  # type: ignore[arg-type]
