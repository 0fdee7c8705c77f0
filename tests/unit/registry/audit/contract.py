"""What the audit trail does on every database: a chain that grows, and in which every other change is found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lepton_ai.errors import InvalidInput
from services.registry.audit.chain import GENESIS, ChainCheck
from services.registry.audit.trail import AuditTrail
from services.registry.database.sql_store import SqlStore
from services.registry.database.store import AuditEntry, AuditFilter, Store

Tamper = Callable[[str], Awaitable[None]]
"""Runs SQL past the registry, with the triggers dropped."""


async def record(store: Store, count: int, *, model: str = "猫", actor: str = "me") -> None:
    for number in range(count):
        async with store.writing() as writing:
            after = {"标签": number, "share": 0.1, "nested": {"b": [1, 2], "a": None}}
            await writing.record(AuditEntry(actor, "deploy", model, before=None, after=after))


async def check(store: Store, anchor: str = "") -> ChainCheck:
    return await AuditTrail(store).verify(anchor)


class AuditContract:
    """Tests for the fixtures `store` and `tamper`; a subclass whose name begins with Test runs them."""

    async def test_an_empty_trail_is_whole(self, store: SqlStore) -> None:
        found = await check(store)
        assert (found.entries, found.newest, found.broken, found.is_anchored) == (0, GENESIS, None, True)

    async def test_every_entry_follows_from_those_before_it(self, store: SqlStore) -> None:
        await record(store, 5)
        found = await check(store)
        assert (found.entries, found.broken) == (5, None)
        assert found.newest == (await AuditTrail(store).list(AuditFilter(), limit=1)).entries[0].hash

    async def test_writers_at_the_same_time_make_one_chain(self, store: SqlStore) -> None:
        await asyncio.gather(*(record(store, 4, actor=f"writer {number}") for number in range(8)))
        found = await check(store)
        assert (found.entries, found.broken) == (32, None)

    async def test_an_entry_of_a_transaction_that_failed_is_no_part_of_it(self, store: SqlStore) -> None:
        await record(store, 1)
        with pytest.raises(LookupError):
            async with store.writing() as writing:
                await writing.record(AuditEntry("me", "push", "cat", before=None, after={}))
                raise LookupError
        await record(store, 1)
        found = await check(store)
        assert (found.entries, found.broken) == (2, None)

    @pytest.mark.parametrize(
        "change",
        [
            "actor = 'nobody'",
            "action = 'undeploy'",
            "model = 'dog'",
            "after = '{\"x\": 1}'",
            "before = '{}'",
            "hash = NULL",
            f"hash = '{'a' * 64}'",
        ],
    )
    async def test_a_changed_entry_is_found(self, store: SqlStore, tamper: Tamper, change: str) -> None:
        await record(store, 5)
        await tamper(f"UPDATE audit SET {change} WHERE id = 3")  # noqa: S608 - ours
        assert (await check(store)).broken == 3

    async def test_a_moved_time_is_found(self, store: SqlStore, tamper: Tamper) -> None:
        await record(store, 5)
        await tamper("UPDATE audit SET at = (SELECT min(at) FROM audit) WHERE id = 4")
        assert (await check(store)).broken == 4

    @pytest.mark.parametrize(("deleted", "broken"), [(1, 2), (3, 4)])
    async def test_a_deleted_entry_is_found(self, store: SqlStore, tamper: Tamper, deleted: int, broken: int) -> None:
        await record(store, 5)
        await tamper(f"DELETE FROM audit WHERE id = {deleted}")  # noqa: S608 - ours
        assert (await check(store)).broken == broken

    async def test_entries_in_another_order_are_found(self, store: SqlStore, tamper: Tamper) -> None:
        await record(store, 5)
        await tamper("UPDATE audit SET id = 100 WHERE id = 2")
        await tamper("UPDATE audit SET id = 2 WHERE id = 3")
        await tamper("UPDATE audit SET id = 3 WHERE id = 100")
        assert (await check(store)).broken == 2

    async def test_an_inserted_entry_is_found(self, store: SqlStore, tamper: Tamper) -> None:
        await record(store, 3)
        await tamper(
            "INSERT INTO audit (id, at, actor, action, model, before, after, hash) "
            "SELECT 4, at, 'me', 'deploy', model, before, after, 'forged' FROM audit WHERE id = 3"
        )
        assert (await check(store)).broken == 4

    async def test_entries_deleted_at_the_end_are_found_by_an_anchor(self, store: SqlStore, tamper: Tamper) -> None:
        await record(store, 5)
        anchor = (await check(store)).newest
        await tamper("DELETE FROM audit WHERE id = 5")
        assert (await check(store)).broken is None
        assert not (await check(store, anchor)).is_anchored

    async def test_a_trail_that_was_written_anew_is_found_by_an_anchor(self, store: SqlStore, tamper: Tamper) -> None:
        await record(store, 3)
        anchor = (await check(store)).newest
        await tamper("DELETE FROM audit")
        await record(store, 3)
        found = await check(store, anchor)
        assert (found.broken, found.is_anchored) == (None, False)

    async def test_an_anchor_stays_good_while_the_trail_grows(self, store: SqlStore) -> None:
        await record(store, 2)
        anchor = (await check(store)).newest
        await record(store, 2)
        assert (await check(store, anchor)).is_anchored

    async def test_what_is_no_hash_is_no_anchor(self, store: SqlStore) -> None:
        with pytest.raises(InvalidInput, match="is no hash"):
            await check(store, "yesterday")

    async def test_entries_are_listed_page_by_page(self, store: SqlStore) -> None:
        await record(store, 5)
        trail, seen, before = AuditTrail(store), list[int](), 0
        while True:
            page = await trail.list(AuditFilter(before=before), limit=2)
            seen += [entry.id for entry in page.entries]
            if not page.before:
                break
            before = page.before
        assert seen == [5, 4, 3, 2, 1]

    async def test_entries_are_found_by_model_actor_and_action(self, store: SqlStore) -> None:
        await record(store, 2)
        await record(store, 1, model="dog", actor="token:王 ipv4:1")
        trail = AuditTrail(store)
        for wanted in (AuditFilter(model="dog"), AuditFilter(actor="王"), AuditFilter(actor="token:")):
            assert [entry.id for entry in (await trail.list(wanted, limit=10)).entries] == [3]
        assert (await trail.list(AuditFilter(actor="%"), limit=10)).entries == []
        assert len((await trail.list(AuditFilter(action="deploy"), limit=10)).entries) == 3
        (newest,) = (await trail.list(AuditFilter(model="dog"), limit=10)).entries
        assert [entry.id for entry in (await trail.list(AuditFilter(since=newest.at), limit=10)).entries] == [3]
