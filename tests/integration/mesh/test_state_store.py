"""What every state store does: the same behaviour from the fake in memory and from real etcd, through outages too."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.login import EtcdLogin
from lepton_ai.mesh.discovery.state import StateStore, Watch
from lepton_ai.testing.eventually import eventually
from lepton_ai.testing.memory_store import MemoryStore

LOGIN = EtcdLogin("lepton", "lepton's")


@dataclass(frozen=True)
class Ground:
    """Two processes' connections to the same state, and how to take it away and bring it back."""

    mine: StateStore
    theirs: StateStore
    go_down: Callable[[], Awaitable[None]]
    come_up: Callable[[], Awaitable[None]]
    come_up_wiped: Callable[[], Awaitable[None]]


def _in_memory() -> Ground:
    store = MemoryStore()

    async def go_down() -> None:
        store.down()

    async def come_up() -> None:
        store.up()

    async def come_up_wiped() -> None:
        store.up(wiped=True)

    return Ground(store, store.twin(), go_down, come_up, come_up_wiped)


def _on(etcd: LocalEtcd, *logins: EtcdLogin | None) -> Ground:
    async def come_up_wiped() -> None:
        etcd.wipe()
        await etcd.start()

    mine, theirs = (EtcdStore(etcd.address, login=login) for login in logins)
    return Ground(mine, theirs, etcd.kill, etcd.start, come_up_wiped)


@pytest.fixture(params=["memory", "etcd", "etcd that asks for a user"])
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            made = _in_memory()
        else:
            asks = request.param == "etcd that asks for a user"
            # The first, as the registry does, closes an etcd that lets in everybody, also one that was wiped.
            logins = (replace(LOGIN, root_password="root's"), LOGIN) if asks else (None, None)
            made = _on(await stack.enter_async_context(running_etcd(tmp_path / "etcd")), *logins)
            if asks:
                await eventually(lambda: _answers(made.mine), timeout_s=20, description="etcd asks for a user")
        yield made
        await made.mine.close()
        await made.theirs.close()


async def _answers(store: StateStore) -> bool:
    await store.list("/lepton/")
    return True


async def _sees(watch: Watch, expected: dict[str, bytes], *, timeout_s: float = 5.0) -> None:
    await eventually(
        lambda: dict(watch.entries) == expected, timeout_s=timeout_s, description=f"the view is {expected}"
    )


async def _holds(store: StateStore, *keys: str, timeout_s: float = 7.0) -> None:
    async def holds() -> bool:
        return (await store.list("/lepton/t/")).keys() == set(keys)

    await eventually(holds, timeout_s=timeout_s, description=f"the store holds {keys}")


async def test_what_is_put_can_be_read(ground: Ground) -> None:
    assert await ground.mine.get("/lepton/t/key") is None
    await ground.mine.put("/lepton/t/key", "值".encode())
    assert await ground.theirs.get("/lepton/t/key") == "值".encode()


async def test_what_is_deleted_is_gone_and_deleting_it_again_is_fine(ground: Ground) -> None:
    await ground.mine.put("/lepton/t/key", b"1")
    await ground.theirs.delete("/lepton/t/key")
    await ground.theirs.delete("/lepton/t/key")
    assert await ground.mine.get("/lepton/t/key") is None


async def test_a_list_holds_exactly_the_keys_under_the_prefix(ground: Ground) -> None:
    for key in ("/lepton/t/a/1", "/lepton/t/a/2", "/lepton/t/ab", "/lepton/t/a0", "/lepton/t"):
        await ground.mine.put(key, key.encode())
    assert dict(await ground.theirs.list("/lepton/t/a/")) == {
        "/lepton/t/a/1": b"/lepton/t/a/1",
        "/lepton/t/a/2": b"/lepton/t/a/2",
    }


async def test_a_watch_starts_with_what_is_there(ground: Ground) -> None:
    await ground.mine.put("/lepton/t/1", b"1")
    watch = await ground.theirs.watch("/lepton/t/")
    assert dict(watch.entries) == {"/lepton/t/1": b"1"}
    assert watch.connected


async def test_a_watch_follows_puts_and_deletions(ground: Ground) -> None:
    watch = await ground.theirs.watch("/lepton/t/")
    await ground.mine.put("/lepton/t/1", b"1")
    await ground.mine.put("/lepton/t/2", b"2")
    await ground.mine.put("/lepton/other", b"3")
    await _sees(watch, {"/lepton/t/1": b"1", "/lepton/t/2": b"2"})
    await ground.mine.put("/lepton/t/1", b"new")
    await ground.mine.delete("/lepton/t/2")
    await _sees(watch, {"/lepton/t/1": b"new"})


async def test_changes_yield_the_view_at_once_and_after_each_change(ground: Ground) -> None:
    await ground.mine.put("/lepton/t/1", b"1")
    changes = (await ground.theirs.watch("/lepton/t/")).changes()
    assert dict(await anext(changes)) == {"/lepton/t/1": b"1"}
    await ground.mine.put("/lepton/t/2", b"2")
    assert dict(await anext(changes)) == {"/lepton/t/1": b"1", "/lepton/t/2": b"2"}


async def test_changes_end_when_the_watch_is_closed(ground: Ground) -> None:
    watch = await ground.theirs.watch("/lepton/t/")
    changes = watch.changes()
    await anext(changes)
    await watch.close()
    assert [each async for each in changes] == []


async def test_a_publication_is_there_until_it_is_withdrawn(ground: Ground) -> None:
    watch = await ground.theirs.watch("/lepton/t/")
    publication = await ground.mine.publish("/lepton/t/me", b"1")
    await _sees(watch, {"/lepton/t/me": b"1"})
    await publication.update(b"2")
    await _sees(watch, {"/lepton/t/me": b"2"})
    await publication.withdraw()
    await _sees(watch, {})


async def test_withdrawing_twice_is_fine(ground: Ground) -> None:
    publication = await ground.mine.publish("/lepton/t/me", b"1")
    await publication.withdraw()
    await publication.withdraw()


async def test_withdrawing_leaves_the_key_of_a_successor(ground: Ground) -> None:
    watch = await ground.mine.watch("/lepton/t/")
    predecessor = await ground.mine.publish("/lepton/t/me", b"old")
    await _sees(watch, {"/lepton/t/me": b"old"})
    await ground.theirs.publish("/lepton/t/me", b"new")
    await _sees(watch, {"/lepton/t/me": b"new"})
    await predecessor.withdraw()
    assert await ground.theirs.get("/lepton/t/me") == b"new"


async def test_closing_a_store_withdraws_what_it_published_and_nothing_else(ground: Ground) -> None:
    watch = await ground.theirs.watch("/lepton/t/")
    await ground.mine.publish("/lepton/t/mine", b"1")
    await ground.theirs.publish("/lepton/t/theirs", b"2")
    await ground.mine.put("/lepton/t/lasting", b"3")
    await _sees(watch, {"/lepton/t/mine": b"1", "/lepton/t/theirs": b"2", "/lepton/t/lasting": b"3"})
    await ground.mine.close()
    await _sees(watch, {"/lepton/t/theirs": b"2", "/lepton/t/lasting": b"3"})


async def test_without_the_store_reads_and_writes_say_what_to_do(ground: Ground) -> None:
    await ground.go_down()
    for attempt in (
        ground.mine.get("/lepton/t/1"),
        ground.mine.list("/lepton/t/"),
        ground.mine.put("/lepton/t/1", b"1"),
        ground.mine.delete("/lepton/t/1"),
    ):
        with pytest.raises(Unavailable, match="does not answer") as raised:
            await attempt
        assert raised.value.fix


async def test_without_the_store_the_last_view_stands(ground: Ground) -> None:
    await ground.mine.publish("/lepton/t/me", b"1")
    watch = await ground.theirs.watch("/lepton/t/")
    await _sees(watch, {"/lepton/t/me": b"1"})
    await ground.go_down()
    await eventually(lambda: not watch.connected, timeout_s=5, description="the watch knows that the store is away")
    assert dict(watch.entries) == {"/lepton/t/me": b"1"}


async def test_what_was_published_without_the_store_is_put_when_it_comes(ground: Ground) -> None:
    await ground.go_down()
    await ground.mine.publish("/lepton/t/me", b"1")
    watch = await ground.theirs.watch("/lepton/t/")
    assert dict(watch.entries) == {}
    await ground.come_up()
    await _sees(watch, {"/lepton/t/me": b"1"})


async def test_an_update_without_the_store_is_put_when_it_comes_back(ground: Ground) -> None:
    publication = await ground.mine.publish("/lepton/t/me", b"old")
    watch = await ground.theirs.watch("/lepton/t/")
    await _sees(watch, {"/lepton/t/me": b"old"})
    await ground.go_down()
    await publication.update(b"new")
    await ground.come_up()
    await _sees(watch, {"/lepton/t/me": b"new"})


async def test_a_store_that_comes_back_empty_is_told_again_and_no_reader_sees_it_empty(ground: Ground) -> None:
    for name in ("a", "b"):
        await ground.mine.publish(f"/lepton/t/{name}", b"1")
    watch = await ground.theirs.watch("/lepton/t/")
    await _sees(watch, {"/lepton/t/a": b"1", "/lepton/t/b": b"1"})
    seen: list[int] = []
    changes = watch.changes()
    await ground.go_down()
    await ground.come_up_wiped()
    await eventually(lambda: watch.connected, timeout_s=5, description="the watch is connected again")
    await _holds(ground.mine, "/lepton/t/a", "/lepton/t/b")
    seen.append(len(await anext(changes)))
    assert seen == [2]
    assert len(watch.entries) == 2


async def test_withdrawing_without_the_store_does_not_raise(ground: Ground) -> None:
    publication = await ground.mine.publish("/lepton/t/me", b"1")
    await _holds(ground.theirs, "/lepton/t/me")
    await ground.go_down()
    await publication.withdraw()
    await ground.come_up()
    await _holds(ground.theirs, timeout_s=10)  # nothing, as the lease has run out


async def test_one_holds_what_several_claim_and_the_next_one_when_it_goes(ground: Ground) -> None:
    mine, theirs = ground.mine.claim("/lepton/lead", b"me"), ground.theirs.claim("/lepton/lead", b"them")
    assert await mine.hold()
    assert not await theirs.hold()
    assert await mine.hold()
    await ground.mine.close()
    await eventually(theirs.hold, description="the other one holds it")


async def test_who_comes_back_takes_its_own_place_at_once(ground: Ground) -> None:
    assert await ground.mine.claim("/lepton/lead", b"me").hold()
    assert await ground.theirs.claim("/lepton/lead", b"me").hold()  # as after a kill, whose lease still runs


async def test_without_the_store_nobody_knows_who_holds_a_claim(ground: Ground) -> None:
    claim = ground.mine.claim("/lepton/lead", b"me")
    assert await claim.hold()
    await ground.go_down()
    with pytest.raises(Unavailable):
        await claim.hold()
    await ground.come_up()
    await eventually(claim.hold, timeout_s=10, description="it is held again")
