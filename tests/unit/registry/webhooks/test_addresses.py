"""Webhooks go to public addresses; anywhere else only where a setting allows it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest

from lepton_ai.errors import InvalidInput, PermissionDenied, Unavailable
from services.registry.webhooks.addresses import Reach

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14"]
PRIVATE = ["10.0.0.1", "172.16.5.4", "192.168.1.1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::"]
LOOPBACK = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]
NEVER = ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::"]  # noqa: S104


def allows(reach: Reach, address: str) -> bool:
    return reach.allows(ipaddress.ip_address(address))


def test_public_addresses_may_always_be_called() -> None:
    for reach in (Reach(), Reach(loopback=True), Reach(private=True)):
        assert all(allows(reach, address) for address in PUBLIC)


def test_private_networks_only_with_the_setting() -> None:
    assert not any(allows(Reach(loopback=True), address) for address in PRIVATE)
    assert all(allows(Reach(private=True), address) for address in PRIVATE)


def test_this_machine_only_from_a_registry_that_nobody_else_reaches() -> None:
    assert not any(allows(Reach(), address) for address in LOOPBACK)
    assert all(allows(Reach(loopback=True), address) for address in LOOPBACK)


@pytest.mark.parametrize("address", NEVER)
def test_where_a_clouds_keys_lie_is_never_called(address: str) -> None:
    assert not allows(Reach(loopback=True, private=True), address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@example.org/",
        "https://example.org:port/",
        "https://exämple.org/",
        "https://example.org/a b",
        "https://example.org/\r\nX: y",
        "https://[::1/",
        "https://example.org/" + "a" * 2000,
        "http://example.org/",
        "http://127.0.0.1:80/",
    ],
)
def test_other_urls_are_refused_before_anything_is_called(url: str) -> None:
    with pytest.raises(InvalidInput, match="url"):
        Reach().check_url(url)


def test_without_tls_only_this_machine_or_a_network_of_ones_own() -> None:
    assert Reach(loopback=True).check_url("http://localhost:9000/hook").port == 9000
    assert Reach(private=True).check_url("http://hooks.internal/")
    with pytest.raises(InvalidInput, match="not encrypted"):
        Reach(loopback=True).check_url("http://hooks.internal/")


async def test_a_name_is_judged_by_the_address_it_has() -> None:
    with pytest.raises(PermissionDenied, match="private network"):
        await Reach().resolve(urlsplit("https://localhost/"))
    assert await Reach(loopback=True).resolve(urlsplit("https://localhost/")) in ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
async def test_numbers_in_disguise_are_addresses_too(host: str) -> None:
    with pytest.raises((PermissionDenied, Unavailable)):
        await Reach().resolve(urlsplit(f"https://{host}/"))
