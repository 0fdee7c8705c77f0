"""What is advertised can be dialled: never a wildcard, always with a port."""

from __future__ import annotations

import pytest

from lepton_ai.mesh.serving.advertised import advertised_address


@pytest.mark.parametrize(
    ("host", "advertise", "expected"),
    [
        ("127.0.0.1", None, "127.0.0.1:7"),
        ("127.0.0.1", "inference-1", "inference-1:7"),
        ("0.0.0.0", "inference-1:9", "inference-1:9"),  # noqa: S104
        ("::1", None, "[::1]:7"),
        ("127.0.0.1", "[2001:db8::1]:9", "[2001:db8::1]:9"),
    ],
)
def test_what_is_set_is_advertised_with_a_port(host: str, advertise: str | None, expected: str) -> None:
    assert advertised_address(host, 7, advertise) == expected
