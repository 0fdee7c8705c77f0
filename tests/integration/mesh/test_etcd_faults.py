"""Leases and watches on a real etcd that crashes, loses its data, hangs, compacts, and on publishers that die."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator

import pytest
from aetcd import rpc

from lepton_ai.errors import Unavailable
from lepton_ai.local.programs.etcd import LocalEtcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.state import StateStore, Watch
from lepton_ai.testing.eventually import eventually

TTL_S = 5
BACK_S = TTL_S + 2.0
"""Within this everything must be registered again after etcd came back."""


@pytest.fixture
async def store(etcd: LocalEtcd) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(etcd.address, lease_ttl_s=TTL_S)
    yield store
    await store.close()


@pytest.fixture
async def reader(etcd: LocalEtcd) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(etcd.address, lease_ttl_s=TTL_S)
    yield store
    await store.close()


async def _until_shown(watch: Watch, *keys: str) -> None:
    await eventually(lambda: watch.entries.keys() == set(keys), timeout_s=5, description=f"the view is {keys}")


async def _until_registered(store: StateStore, *keys: str) -> None:
    async def registered() -> bool:
        return (await store.list("/t/")).keys() == set(keys)

    await eventually(registered, timeout_s=BACK_S, description=f"{keys} are in etcd")


async def _until_present(store: StateStore, key: str, *, timeout_s: float) -> None:
    async def present() -> bool:
        return await store.get(key) is not None

    await eventually(present, timeout_s=timeout_s, description=f"{key} is in etcd")


async def _stays_shown(watch: Watch, *keys: str, duration_s: float) -> None:
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s:
        assert watch.entries.keys() == set(keys)
        await asyncio.sleep(0.05)


async def test_after_a_crash_and_a_long_outage_all_is_registered_again(
    etcd: LocalEtcd, store: EtcdStore, reader: EtcdStore
) -> None:
    await store.publish("/t/me", b"1")
    watch = await reader.watch("/t/")
    await _until_shown(watch, "/t/me")
    await etcd.kill()
    await _stays_shown(watch, "/t/me", duration_s=TTL_S + 1)
    await etcd.start()
    await _until_registered(reader, "/t/me")
    # The lease that it is registered under is really being renewed.
    await _stays_shown(watch, "/t/me", duration_s=TTL_S + 2)
    assert await reader.get("/t/me") == b"1"


async def test_after_a_wipe_nobody_alive_is_forgotten_and_the_dead_are_dropped(
    etcd: LocalEtcd, store: EtcdStore, reader: EtcdStore
) -> None:
    alive = await store.publish("/t/alive", b"1")
    dead = await EtcdStore(etcd.address, lease_ttl_s=TTL_S).publish("/t/dead", b"1")
    watch = await reader.watch("/t/")
    await _until_shown(watch, "/t/alive", "/t/dead")
    await etcd.kill()
    _die(dead)
    etcd.wipe()
    await etcd.start()
    await _until_registered(reader, "/t/alive")
    await _stays_shown(watch, "/t/alive", "/t/dead", duration_s=TTL_S)
    await eventually(
        lambda: watch.entries.keys() == {"/t/alive"}, timeout_s=4, description="who does not come back is dropped"
    )
    await alive.withdraw()
    await _until_shown(watch)


async def test_after_a_wipe_lasting_keys_are_shown_until_they_are_published_again(
    etcd: LocalEtcd, store: EtcdStore
) -> None:
    reader = EtcdStore(etcd.address, lease_ttl_s=2, relist_interval_s=1.0)
    for value in (b"1", b"2", b"3"):
        await store.put("/t/deployed", value)
        await store.put("/t/undeployed", value)
    watch = await reader.watch("/t/")
    await etcd.kill()
    etcd.wipe()
    await etcd.start()
    await eventually(lambda: watch.connected, timeout_s=BACK_S, description="the watch is connected again")
    await _stays_shown(watch, "/t/deployed", "/t/undeployed", duration_s=2 + 2.0 + 2.0)
    await store.put("/t/deployed", b"3")
    await _stays_shown(watch, "/t/deployed", "/t/undeployed", duration_s=3.5)
    await eventually(
        lambda: watch.entries.keys() == {"/t/deployed"}, timeout_s=6, description="what was not put again is dropped"
    )
    await reader.close()


async def test_a_deletion_during_an_outage_of_the_reader_is_believed_in_the_end(
    etcd: LocalEtcd, store: EtcdStore
) -> None:
    reader = EtcdStore(etcd.address, lease_ttl_s=2)
    await store.put("/t/key", b"1")
    watch = await reader.watch("/t/")
    watch._follower.cancel()
    await store.delete("/t/key")
    watch._outage = True
    watch._follower = asyncio.create_task(watch._follow())
    await _stays_shown(watch, "/t/key", duration_s=1)
    await eventually(lambda: not watch.entries, timeout_s=5, description="the deletion is believed")
    await reader.close()


async def test_while_etcd_hangs_requests_fail_in_time_and_the_view_stands(
    etcd: LocalEtcd, store: EtcdStore, reader: EtcdStore
) -> None:
    await store.publish("/t/me", b"1")
    watch = await reader.watch("/t/")
    await _until_shown(watch, "/t/me")
    etcd.pause()
    begin_s = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        await reader.put("/t/other", b"1")
    assert time.monotonic() - begin_s < 2.5
    await eventually(lambda: not watch.connected, timeout_s=15, description="the pings have noticed that etcd hangs")
    assert watch.entries.keys() == {"/t/me"}
    etcd.resume()
    await eventually(lambda: watch.connected, timeout_s=BACK_S, description="the watch is connected again")
    await _until_present(reader, "/t/me", timeout_s=BACK_S)


async def test_a_publisher_that_dies_is_gone_when_its_lease_is_over(etcd: LocalEtcd, reader: EtcdStore) -> None:
    watch = await reader.watch("/t/")
    publisher = await _start_publisher(etcd.address)
    try:
        await _until_shown(watch, "/t/process")
    finally:
        publisher.kill()
        await publisher.wait()
    begin_s = time.monotonic()
    await eventually(lambda: not watch.entries, timeout_s=TTL_S + 2, description="the dead publisher's key is gone")
    assert time.monotonic() - begin_s > TTL_S / 3


async def test_a_publisher_that_was_stopped_longer_than_its_lease_comes_back(
    etcd: LocalEtcd, reader: EtcdStore
) -> None:
    watch = await reader.watch("/t/")
    publisher = await _start_publisher(etcd.address)
    try:
        await _until_shown(watch, "/t/process")
        publisher.send_signal(signal.SIGSTOP)
        await eventually(lambda: not watch.entries, timeout_s=TTL_S + 3, description="the lease ran out")
        publisher.send_signal(signal.SIGCONT)
        await eventually(lambda: watch.entries, timeout_s=2, description="it registered again")
    finally:
        publisher.kill()
        await publisher.wait()


async def test_a_published_key_that_somebody_deletes_is_put_again(store: EtcdStore, reader: EtcdStore) -> None:
    await store.publish("/t/me", b"1")
    await _until_registered(reader, "/t/me")
    await reader.delete("/t/me")
    await _until_present(reader, "/t/me", timeout_s=TTL_S / 3 + 1)


async def test_a_lease_that_somebody_revokes_is_granted_again(store: EtcdStore, reader: EtcdStore) -> None:
    publication = await store.publish("/t/me", b"1")
    await _until_registered(reader, "/t/me")
    lease = publication._lease
    assert lease is not None
    await reader._etcd.revoke(lease)
    assert await reader.get("/t/me") is None
    await _until_present(reader, "/t/me", timeout_s=TTL_S / 3 + 1)


async def test_nothing_is_written_while_all_is_well(etcd: LocalEtcd, store: EtcdStore, reader: EtcdStore) -> None:
    publication = await store.publish("/t/me", b"1")
    await _until_registered(reader, "/t/me")
    _, before = await reader._etcd.entries("/t/")
    for _ in range(3):
        await publication._renew()
    _, after = await reader._etcd.entries("/t/")
    assert after == before


async def test_a_watch_survives_compaction(etcd: LocalEtcd, store: EtcdStore) -> None:
    reader = EtcdStore(etcd.address, relist_interval_s=0.5)
    watch = await reader.watch("/t/")
    for number in range(20):
        await store.put("/t/key", str(number).encode())
    _, revision = await store._etcd.entries("/t/")
    await store._etcd.kv("Compact", rpc.CompactionRequest(revision=revision))
    await store.put("/t/key", b"after")
    await eventually(lambda: watch.entries.get("/t/key") == b"after", timeout_s=2, description="the newest value shows")
    assert watch.connected
    await reader.close()


async def test_following_from_a_compacted_revision_ends_and_asks_for_a_new_list(store: EtcdStore) -> None:
    for number in range(10):
        await store.put("/t/key", str(number).encode())
    _, revision = await store._etcd.entries("/t/")
    await store._etcd.kv("Compact", rpc.CompactionRequest(revision=revision))
    assert [batch async for batch in store._etcd.events("/t/", after_revision=1)] == []


async def test_an_event_that_the_watch_lost_is_found_by_the_next_list(etcd: LocalEtcd, store: EtcdStore) -> None:
    reader = EtcdStore(etcd.address, relist_interval_s=1.0)
    await store.put("/t/key", b"1")
    watch = await reader.watch("/t/")
    watch._view.relist({"/t/key": b"stale", "/t/ghost": b"1"}, after_outage=False)
    await eventually(
        lambda: dict(watch.entries) == {"/t/key": b"1"}, timeout_s=3, description="the view is that of etcd again"
    )
    await reader.close()


async def test_without_etcd_at_the_start_everything_waits_and_then_works(etcd: LocalEtcd, store: EtcdStore) -> None:
    await etcd.kill()
    begin_s = time.monotonic()
    watch = await store.watch("/t/")
    await store.publish("/t/me", b"1")
    assert time.monotonic() - begin_s < 2.5
    assert not watch.connected
    await etcd.start()
    await _until_shown(watch, "/t/me")


async def test_a_closed_store_says_so(store: EtcdStore) -> None:
    await store.put("/t/key", b"1")
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.get("/t/key")


def _die(publication: object) -> None:
    """Stop renewing, as a process does that was killed."""
    publication._keeper.cancel()  # type: ignore[attr-defined]


async def _start_publisher(address: str) -> asyncio.subprocess.Process:
    program = textwrap.dedent(
        f"""
        import asyncio
        from lepton_ai.mesh.discovery.etcd import EtcdStore

        async def main():
            store = EtcdStore({address!r}, lease_ttl_s={TTL_S})
            await store.publish("/t/process", b"1")
            await asyncio.Event().wait()

        asyncio.run(main())
        """
    )
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program)


async def test_an_outage_is_said_once_and_its_end_too(
    etcd: LocalEtcd, store: EtcdStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="lepton_ai.mesh.discovery.etcd_connection")
    await store.put("/t/key", b"1")
    await etcd.kill()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await store.get("/t/key")
    await etcd.start()
    await _until_present(store, "/t/key", timeout_s=BACK_S)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["etcd answers", "etcd does not answer", "etcd answers"]
