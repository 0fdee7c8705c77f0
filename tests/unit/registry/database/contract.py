"""What every store of the registry does, whatever its database: numbers, immutability, isolation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from services.registry.database.sql_store import SqlStore
from services.registry.database.store import RouteTarget
from tests.unit.registry.records import add_versions, new_version


class StoreContract:
    """Tests for the fixture `store`; a subclass whose name begins with Test runs them."""

    async def test_versions_are_numbered_from_one_for_each_model(self, store: SqlStore) -> None:
        cats, dogs = await add_versions(store, "cat", 3), await add_versions(store, "dog", 1)
        assert [version.version for version in (*cats, *dogs)] == [1, 2, 3, 1]

    async def test_what_was_recorded_is_read_back(self, store: SqlStore) -> None:
        async with store.writing() as writing:
            added = await writing.add_version(new_version())
        async with store.reading() as reading:
            assert await reading.version("cat", 1) == added
            assert await reading.version("cat", 0) == added
            assert await reading.version_of_digest("cat", added.digest) == added
            assert list(await reading.versions("cat")) == [added]
            assert list(await reading.models()) == ["cat"]
            assert await reading.known_files([added.digest, "f" * 64]) == {added.digest}
            assert await reading.all_files() == {added.digest, "0" * 64}
        assert added.size_bytes == 5
        assert abs(added.created_at - datetime.now(UTC)) < timedelta(minutes=1)

    async def test_unknown_things_are_none_or_empty(self, store: SqlStore) -> None:
        async with store.reading() as reading:
            assert await reading.version("cat", 0) is None
            assert await reading.version_of_digest("cat", "0" * 64) is None
            assert await reading.deployment("cat") is None
            assert (await reading.aliases("cat"), await reading.generation("cat")) == ({}, 0)
            assert await reading.known_files([]) == frozenset()

    async def test_very_many_hashes_are_looked_up(self, store: SqlStore) -> None:
        (version,) = await add_versions(store, "cat", 1)
        wanted = [version.digest, *(f"{number:064d}" for number in range(1, 5000))]
        async with store.reading() as reading:
            assert await reading.known_files(wanted) == {version.digest}

    async def test_nothing_of_a_failed_transaction_stays(self, store: SqlStore) -> None:
        with pytest.raises(LookupError):
            async with store.writing() as writing:
                await writing.add_version(new_version())
                raise LookupError
        async with store.reading() as reading:
            assert list(await reading.models()) == []

    async def test_equal_content_cannot_be_two_versions(self, store: SqlStore) -> None:
        await add_versions(store, "cat", 1)
        with pytest.raises(IntegrityError):
            await add_versions(store, "cat", 1)

    async def test_an_alias_moves_and_goes(self, store: SqlStore) -> None:
        await add_versions(store, "cat", 2)
        for version, expected in ((1, {"best": 1}), (2, {"best": 2}), (None, {})):
            async with store.writing() as writing:
                await writing.set_alias("cat", "best", version)
            async with store.reading() as reading:
                assert await reading.aliases("cat") == expected

    async def test_several_versions_and_weighted_routes_can_be_deployed(self, store: SqlStore) -> None:
        await add_versions(store, "cat", 2)
        routes = (RouteTarget("production", 1, 90), RouteTarget("production", 2, 10))
        async with store.writing() as writing:
            await writing.set_deployment("cat", {1, 2}, routes)
            await writing.set_generation("cat", 7)
        async with store.reading() as reading:
            deployment = await reading.deployment("cat")
            assert list(await reading.deployed_models()) == ["cat"]
        assert deployment is not None
        assert (deployment.generation, deployment.versions, deployment.routes) == (7, (1, 2), routes)

    async def test_only_what_exists_can_be_deployed(self, store: SqlStore) -> None:
        with pytest.raises(IntegrityError):
            async with store.writing() as writing:
                await writing.set_deployment("cat", {1}, ())

    async def test_concurrent_writers_get_different_numbers(self, store: SqlStore) -> None:
        async def add(content: str) -> int:
            async with store.writing() as writing:
                return (await writing.add_version(new_version("cat", content))).version

        numbers = await asyncio.gather(*(add(str(number)) for number in range(20)))
        assert sorted(numbers) == list(range(1, 21))

    async def test_readers_see_a_whole_transaction_or_nothing_of_it(self, store: SqlStore) -> None:
        async with store.writing() as writing, store.reading() as before:
            await writing.add_version(new_version())
            assert list(await before.models()) == []
        async with store.reading() as after:
            assert list(await after.models()) == ["cat"]

    async def test_models_are_listed_page_by_page(self, store: SqlStore) -> None:
        for name in ("dog", "ant", "cat"):
            await add_versions(store, name, 1)
        async with store.reading() as reading:
            assert list(await reading.page_of_models(after="", limit=2)) == ["ant", "cat"]
            assert list(await reading.page_of_models(after="cat", limit=2)) == ["dog"]
            assert list(await reading.page_of_models(after="dog", limit=2)) == []

    async def test_summaries_say_everything_but_the_files(self, store: SqlStore) -> None:
        for name in ("ant", "cat"):
            await add_versions(store, name, 2)
        async with store.writing() as writing:
            await writing.set_alias("cat", "best", 1)
        async with store.reading() as reading:
            found = await reading.summaries(["ant", "cat", "nobody"])
            assert set(found) == {"ant", "cat"}
            assert [each.record for each in found["cat"]] == [
                replace(version, files=()) for version in await reading.versions("cat")
            ]
            assert [each.size_bytes for each in found["cat"]] == [5, 5]
            assert await reading.aliases_of(["ant", "cat"]) == {"cat": {"best": 1}}
