"""HOST:PORT and nothing else."""

from __future__ import annotations

import pytest

from lepton_ai.mesh.address import is_address


@pytest.mark.parametrize("text", ["127.0.0.1:1", "a-b.c_d:65535", "[::1]:2379", "[fe80::1%eth0]:80"])
def test_a_host_and_a_port_are_an_address(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":1",
        "h:0",
        "h:65536",
        "h:1٢",
        "::1:80",
        "unix:/tmp/x:1",
        "dns:h:1",
        "h:1/",
        "h h:1",
        "h:1\n",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_address(text)
