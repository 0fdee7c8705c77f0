"""An etcd that asks for a user: who is let in, to what, and what happens when it restarts, also without its data."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from http.client import HTTPResponse

import grpc
import pytest
from aetcd import rpc

from lepton_ai.errors import Unavailable
from lepton_ai.local.programs.etcd import LocalEtcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.login import EtcdLogin
from lepton_ai.testing import eventually

LOGIN = EtcdLogin("lepton", "lepton's")
REGISTRY = replace(LOGIN, root_password="root's")


@pytest.fixture
async def registry(etcd: LocalEtcd) -> AsyncIterator[EtcdStore]:
    """Who closes etcd, and publishes under a short lease."""
    store = EtcdStore(etcd.address, login=REGISTRY, lease_ttl_s=2)
    await eventually(lambda: _writes(store), description="etcd is closed")
    yield store
    await store.close()


async def _writes(store: EtcdStore) -> bool:
    await store.put("/lepton/test", b"1")
    return True


async def _put_by_anybody(etcd: LocalEtcd) -> int:
    """The HTTP status that a stranger's put gets, as `curl` would send it."""
    body = json.dumps({"key": "L2xlcHRvbi9oeA==", "value": "eA=="}).encode()

    def put() -> int:
        try:
            answer: HTTPResponse
            with urllib.request.urlopen(f"http://{etcd.address}/v3/kv/put", body, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    return await asyncio.to_thread(put)


async def test_who_has_no_user_is_refused(etcd: LocalEtcd, registry: EtcdStore) -> None:
    stranger = EtcdStore(etcd.address)
    for attempt in (stranger.get("/lepton/test"), stranger.put("/lepton/test", b"2"), stranger.list("/lepton/")):
        with pytest.raises(Unavailable, match="LEPTON_ETCD_USER"):
            await attempt
    await stranger.close()
    assert await _put_by_anybody(etcd) >= 400
    assert await registry.get("/lepton/test") == b"1"


async def test_a_wrong_password_is_refused(etcd: LocalEtcd, registry: EtcdStore) -> None:
    store = EtcdStore(etcd.address, login=replace(LOGIN, password="guessed"))
    with pytest.raises(Unavailable):
        await store.get("/lepton/test")
    await store.close()


async def test_services_reach_the_keys_of_lepton_and_no_others(etcd: LocalEtcd, registry: EtcdStore) -> None:
    service = EtcdStore(etcd.address, login=LOGIN)
    assert await service.get("/lepton/test") == b"1"
    for key in ("/other", "/leptom", "/lepton0", "/"):
        with pytest.raises(Unavailable):
            await service.put(key, b"1")
    await service.close()


async def test_who_was_logged_in_before_a_restart_is_let_in_again_at_once(etcd: LocalEtcd, registry: EtcdStore) -> None:
    service = EtcdStore(etcd.address, login=LOGIN)
    assert await service.get("/lepton/test") == b"1"
    await etcd.kill()
    await etcd.start()
    await eventually(lambda: service.get("/lepton/test"), description="it is let in")
    await service.put("/lepton/test", b"2")
    await service.close()


async def test_an_etcd_that_lost_its_data_is_closed_again_by_the_registry_and_by_nobody_else(etcd: LocalEtcd) -> None:
    service = EtcdStore(etcd.address, login=LOGIN, lease_ttl_s=2)
    with pytest.raises(Unavailable):
        await service.get("/lepton/test")  # it lets in everybody: not where a service with a password belongs
    registry = EtcdStore(etcd.address, login=REGISTRY, lease_ttl_s=2)
    await registry.publish("/lepton/registry", b"1")
    await eventually(lambda: service.get("/lepton/registry"), timeout_s=15, description="etcd is closed")
    await etcd.kill()
    etcd.wipe()
    await etcd.start()
    await eventually(lambda: service.get("/lepton/registry"), timeout_s=15, description="all is back")
    assert await _put_by_anybody(etcd) >= 400
    await service.close()
    await registry.close()


async def test_a_set_up_that_was_cut_short_is_finished(etcd: LocalEtcd) -> None:
    first = EtcdStore(etcd.address, login=REGISTRY, request_timeout_s=0.05)
    with pytest.raises(Unavailable):
        await first.get("/lepton/test")
    await first.close()
    again = EtcdStore(etcd.address, login=REGISTRY)
    await eventually(lambda: _writes(again), timeout_s=15, description="etcd is closed")
    await again.close()
    assert await _put_by_anybody(etcd) >= 400


async def test_who_made_a_user_while_etcd_was_open_does_not_keep_it(etcd: LocalEtcd) -> None:
    async with grpc.aio.insecure_channel(etcd.address) as channel:
        auth = rpc.AuthStub(channel)
        await auth.UserAdd(rpc.AuthUserAddRequest(name="stranger", password="x"))
        await auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
        await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="stranger", role="root"))
        registry = EtcdStore(etcd.address, login=REGISTRY)
        await eventually(lambda: _writes(registry), timeout_s=15, description="etcd is closed")
        await registry.close()
        with pytest.raises(grpc.aio.AioRpcError, match="authentication failed"):
            await auth.Authenticate(rpc.AuthenticateRequest(name="stranger", password="x"))
